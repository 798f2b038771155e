"""What a report needs of results, checked before anything is drawn."""

from collections.abc import Mapping
from typing import Any

from weightspace.report import interrogations as interrogations_lib
from weightspace.report.requirements import (
  EACH,
  count,
  number,
  require,
  same_length,
  scalar,
  string,
)

_PARTS = (
    "zoos", "search", "emulation", "prediction", "clones", "codes",
    "transcripts", "variants", "labels", "invariance", "neighbours",
)  # fmt: skip


def _cell(value, where):
  if value is not None:
    require(
        value,
        {"value": number, "low": number, "high": number, "runs?": [string]},
        where,
    )


def _points(value, where):
  require(value, [[number]], where)
  for i, point in enumerate(value):
    if len(point) != 2:
      raise ValueError(f"{where}[{i}] must be 2 numbers, got {len(point)}")


def _tasks(value, where):
  require(value, [[number]], where)
  if len({len(task) for task in value}) > 1:
    raise ValueError(f"{where} must be tasks of one length")


def _triple(value, where):
  require(value, [number], where)
  if len(value) != 3:
    raise ValueError(f"{where} must be [value, low, high], got {len(value)}")


_BAND = {"median": [number], "low": [number], "high": [number]}
_METRICS = {EACH: _cell}
_PARTS_OF = {"validation?": _METRICS, "test?": _METRICS}
_PROTOCOL = {**_PARTS_OF, "by_step?": {EACH: _PARTS_OF}}
_BY_ENCODER = {EACH: {EACH: {"strict?": _PROTOCOL, "paper?": _PROTOCOL}}}
_NEAREST = [{"k": count, "value": _cell}]

# Every part may be missing; "?" marks what may be missing from a part.
REQUIRED: dict[str, Any] = {
    "title?": string,
    "command?": string,
    "size?": scalar,
    "commit?": scalar,
    "software?": {EACH: scalar},
    "seconds?": {EACH: number},
    "zoos?": {
        EACH: {
            "family?": string,
            "shapes": [
                {"cell": string, "hidden": [count], "parameters": number}
            ],
            "networks": number,
            "tasks": number,
            "rows": number,
            "steps": [number],
            "curves?": {
                "accuracy": _BAND,
                "accuracy_counts?": _BAND,
                "loss?": _BAND,
                "train_loss?": _BAND,
                "eval_loss?": _BAND,
            },
            "final_accuracy?": [number],
            "diverged?": number,
            "splits?": {EACH: {"tasks": number, "rows": number}},
        }
    },
    "runs?": {
        EACH: {
            "family": string,
            "stage": string,
            "encoder": scalar,
            "seed": scalar,
            "commit?": scalar,
            "config?": {},
            "seconds?": number,
            "best_step?": number,
        }
    },
    "search?": {  # by what was searched for
        EACH: {
            EACH: {
                "steps": number,
                "encoders": {
                    EACH: {
                        "trials": [{
                            "run": scalar, "setting": {EACH: scalar},
                            "validation": number,
                        }],
                        "chosen": {EACH: scalar},
                    }
                },
            }
        },
    },
    "emulation?": {
        EACH: {
            "divergence": string,
            "paper?": {EACH: _triple},
            "encoders?": {
                EACH: {
                    "validation": _METRICS,
                    "ood?": _METRICS,
                    "gain?": _METRICS,
                    "curve?": {"step": [number], "train": [number]},
                    "validation_curve?": {
                        "step": [number], "loss": [number],
                    },
                }
            },
        }
    },
    "prediction?": {
        EACH: {
            "frozen?": _BY_ENCODER,
            "supervised?": _BY_ENCODER,
            "scatter?": {
                "encoder": string, "predicted": [number],
                "actual": [number],
            },
        }
    },
    "clones?": {
        EACH: {
            EACH: {
                "correlation": _cell,
                "mean_absolute_error": _cell,
                "original?": [number],
                "clone?": [number],
                "split?": [string],
            }
        }
    },
    "codes?": {
        EACH: {
            "rows": {
                "step": [number],
                "task": _tasks,
                "describe?": [string],
                "accuracy": [number],
                "split": [string],
            },
            "pictures?": {
                EACH: {
                    "pca": _points,
                    "explained": [number],
                    "tsne?": _points,
                }
            },
        }
    },
    "variants?": {
        EACH: {
            EACH: {
                "group": string, "base": string, "fields": {},
                "validation": _cell, "prediction?": {EACH: _METRICS},
            }
        }
    },
    "transcripts?": {
        EACH: {
            EACH: {
                "symbols": [string],
                "describe": string,
                "step": number,
                "accuracy": number,
                "probes": [[[number]]],
                "answers": [[[number]]],
            }
        }
    },
    "labels?": {
        EACH: {
            "networks": [number],
            "unit": string,
            "properties?": {
                EACH: {
                    "metric": string,
                    "better": string,
                    "arms": {EACH: [_cell]},
                    "improvement?": {
                        "over": string, "of": string, "per_cent": [_cell],
                    },
                }
            },
        }
    },
    "invariance?": {EACH: {EACH: {EACH: {"distance": _cell}}}},
    "neighbours?": {
        EACH: {EACH: {"precision?": _NEAREST, "degrees?": _NEAREST}}
    },
}  # fmt: skip
def present(results: Any) -> Any:
  """The same without mappings that are empty: stages that have not run."""
  if not isinstance(results, Mapping):
    return results
  kept = {key: present(value) for key, value in results.items()}
  return {
      key: value
      for key, value in kept.items()
      if not (isinstance(value, Mapping) and not value)
  }


def check(
    results: Mapping[str, Any], interrogations: Mapping[str, Any] | None = None
) -> None:
  """Refuses results that no report can be made of.

  Raises:
    ValueError: something is missing or not what it must be; names the key.
  """
  require(results, REQUIRED, "results")
  if not set(results) & set(_PARTS):
    raise ValueError(
        f"results have nothing to report: none of {', '.join(_PARTS)}"
    )
  for family, zoo in results.get("zoos", {}).items():
    where = f"results['zoos'][{family!r}]"
    same_length(
        where,
        {"steps": zoo["steps"]}
        | {
            f"curves.{name}.{key}": curve[key]
            for name, curve in zoo.get("curves", {}).items()
            if name in REQUIRED["zoos?"][EACH]["curves?"]
            or f"{name}?" in REQUIRED["zoos?"][EACH]["curves?"]
            for key in _BAND
        },
    )
  for family, encoders in results.get("clones", {}).items():
    for name, one in encoders.items():
      lists = {k: one[k] for k in ("original", "clone", "split") if k in one}
      same_length(f"results['clones'][{family!r}][{name!r}]", lists)
  for family, entry in results.get("codes", {}).items():
    rows = entry["rows"]
    lists = {
        f"rows.{key}": rows[key]
        for key in ("step", "task", "describe", "accuracy", "split")
        if key in rows
    }
    for name, picture in entry.get("pictures", {}).items():
      for key in ("pca", "tsne"):
        if key in picture:
          lists[f"pictures.{name}.{key}"] = picture[key]
      if len(picture["explained"]) < 2:
        raise ValueError(
            f"results['codes'][{family!r}]['pictures'][{name!r}]['explained']"
            " must be 2 numbers"
        )
    same_length(f"results['codes'][{family!r}]", lists)
  for family, entry in results.get("labels", {}).items():
    for name, one in entry.get("properties", {}).items():
      lists = {"networks": entry["networks"]}
      lists |= {f"arms.{arm}": cells for arm, cells in one["arms"].items()}
      if "improvement" in one:
        lists["improvement.per_cent"] = one["improvement"]["per_cent"]
      where = f"results['labels'][{family!r}]['properties'][{name!r}]"
      same_length(where, lists)
  if interrogations:
    interrogations_lib.check(results, interrogations)
