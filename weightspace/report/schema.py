"""What a report needs of results, checked before anything is drawn."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

EACH = "*"  # every key that is there, at least one
_PARTS = (
    "zoos", "search", "emulation", "prediction", "clones", "codes",
    "transcripts", "variants", "labels", "invariance", "neighbours",
)  # fmt: skip


def _kind(*kinds, called):
  def check(value, where):
    if not isinstance(value, kinds) or isinstance(value, bool):
      raise ValueError(
          f"{where} must be {called}, got {type(value).__name__}"
      )

  return check


_string = _kind(str, called="a string")
_number = _kind(int, float, type(None), called="a number or null")
_count = _kind(int, called="a whole number")


def _scalar(value, where):
  if isinstance(value, Mapping | list | tuple):
    kind = type(value).__name__
    raise ValueError(f"{where} must be a single value, got {kind}")


def _cell(value, where):
  if value is not None:
    require(
        value,
        {"value": _number, "low": _number, "high": _number, "runs?": [_string]},
        where,
    )


def _points(value, where):
  require(value, [[_number]], where)
  for i, point in enumerate(value):
    if len(point) != 2:
      raise ValueError(f"{where}[{i}] must be 2 numbers, got {len(point)}")


def _tasks(value, where):
  require(value, [[_number]], where)
  if len({len(task) for task in value}) > 1:
    raise ValueError(f"{where} must be tasks of one length")


def _triple(value, where):
  require(value, [_number], where)
  if len(value) != 3:
    raise ValueError(f"{where} must be [value, low, high], got {len(value)}")


_BAND = {"median": [_number], "low": [_number], "high": [_number]}
_METRICS = {EACH: _cell}
_PARTS_OF = {"validation?": _METRICS, "test?": _METRICS}
_PROTOCOL = {**_PARTS_OF, "by_step?": {EACH: _PARTS_OF}}
_BY_ENCODER = {EACH: {EACH: {"strict?": _PROTOCOL, "paper?": _PROTOCOL}}}
_NEAREST = [{"k": _count, "value": _cell}]

# Every part may be missing; "?" marks what may be missing from a part.
REQUIRED: dict[str, Any] = {
    "title?": _string,
    "command?": _string,
    "size?": _scalar,
    "commit?": _scalar,
    "software?": {EACH: _scalar},
    "seconds?": {EACH: _number},
    "zoos?": {
        EACH: {
            "family?": _string,
            "shapes": [
                {"cell": _string, "hidden": [_count], "parameters": _number}
            ],
            "networks": _number,
            "tasks": _number,
            "rows": _number,
            "steps": [_number],
            "curves?": {
                "accuracy": _BAND,
                "accuracy_counts?": _BAND,
                "loss?": _BAND,
                "train_loss?": _BAND,
                "eval_loss?": _BAND,
            },
            "final_accuracy?": [_number],
            "diverged?": _number,
            "splits?": {EACH: {"tasks": _number, "rows": _number}},
        }
    },
    "runs?": {
        EACH: {
            "family": _string,
            "stage": _string,
            "encoder": _scalar,
            "seed": _scalar,
            "commit?": _scalar,
            "config?": {},
            "seconds?": _number,
            "best_step?": _number,
        }
    },
    "search?": {  # by what was searched for
        EACH: {
            EACH: {
                "steps": _number,
                "encoders": {
                    EACH: {
                        "trials": [{
                            "run": _scalar, "setting": {EACH: _scalar},
                            "validation": _number,
                        }],
                        "chosen": {EACH: _scalar},
                    }
                },
            }
        },
    },
    "emulation?": {
        EACH: {
            "divergence": _string,
            "paper?": {EACH: _triple},
            "encoders?": {
                EACH: {
                    "validation": _METRICS,
                    "ood?": _METRICS,
                    "gain?": _METRICS,
                    "curve?": {"step": [_number], "train": [_number]},
                    "validation_curve?": {
                        "step": [_number], "loss": [_number],
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
                "encoder": _string, "predicted": [_number],
                "actual": [_number],
            },
        }
    },
    "clones?": {
        EACH: {
            EACH: {
                "correlation": _cell,
                "mean_absolute_error": _cell,
                "original?": [_number],
                "clone?": [_number],
                "split?": [_string],
            }
        }
    },
    "codes?": {
        EACH: {
            "rows": {
                "step": [_number],
                "task": _tasks,
                "describe?": [_string],
                "accuracy": [_number],
                "split": [_string],
            },
            "pictures?": {
                EACH: {
                    "pca": _points,
                    "explained": [_number],
                    "tsne?": _points,
                }
            },
        }
    },
    "variants?": {
        EACH: {
            EACH: {
                "group": _string, "base": _string, "fields": {},
                "validation": _cell, "prediction?": {EACH: _METRICS},
            }
        }
    },
    "transcripts?": {
        EACH: {
            EACH: {
                "symbols": [_string],
                "describe": _string,
                "step": _number,
                "accuracy": _number,
                "probes": [[[_number]]],
                "answers": [[[_number]]],
            }
        }
    },
    "labels?": {
        EACH: {
            "networks": [_number],
            "unit": _string,
            "properties?": {
                EACH: {
                    "metric": _string,
                    "better": _string,
                    "arms": {EACH: [_cell]},
                    "improvement?": {
                        "over": _string, "of": _string, "per_cent": [_cell],
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
_INTERROGATIONS = {
    EACH: {
        "encoder": _string,
        "run?": _scalar,
        "symbols": [_string],
        "range?": None,
        "rows": [_count],
        "probes": _string,
        "answers": _string,
        "shape": {
            "length": _count, "parallel": _count, "inputs": _count,
            "outputs": _count,
        },
    }
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
    _same(
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
      _same(f"results['clones'][{family!r}][{name!r}]", lists)
  for family, found in results.get("codes", {}).items():
    rows = found["rows"]
    lists = {
        f"rows.{key}": rows[key]
        for key in ("step", "task", "describe", "accuracy", "split")
        if key in rows
    }
    for name, picture in found.get("pictures", {}).items():
      for key in ("pca", "tsne"):
        if key in picture:
          lists[f"pictures.{name}.{key}"] = picture[key]
      if len(picture["explained"]) < 2:
        raise ValueError(
            f"results['codes'][{family!r}]['pictures'][{name!r}]['explained']"
            " must be 2 numbers"
        )
    _same(f"results['codes'][{family!r}]", lists)
  for family, found in results.get("labels", {}).items():
    for name, one in found.get("properties", {}).items():
      lists = {"networks": found["networks"]}
      lists |= {f"arms.{arm}": cells for arm, cells in one["arms"].items()}
      if "improvement" in one:
        lists["improvement.per_cent"] = one["improvement"]["per_cent"]
      _same(f"results['labels'][{family!r}]['properties'][{name!r}]", lists)
  if interrogations is not None:
    _check_interrogations(results, interrogations)


def _check_interrogations(results, interrogations):
  if interrogations == {}:
    return
  require(interrogations, _INTERROGATIONS, "interrogations")
  for family, found in interrogations.items():
    where = f"interrogations[{family!r}]"
    shape = found["shape"]
    for key, size in shape.items():
      if size < 1:
        raise ValueError(f"{where}['shape'][{key!r}] must be at least 1")
    if not found["symbols"] and math.isqrt(shape["inputs"]) ** 2 != (
        shape["inputs"]
    ):
      raise ValueError(
          f"{where}['shape']['inputs'] must be a square of pixels where there"
          f" are no symbols, got {shape['inputs']}"
      )
    steps = len(found["rows"]) * shape["length"] * shape["parallel"]
    for key, size in (("probes", "inputs"), ("answers", "outputs")):
      try:
        held = len(base64.b64decode(found[key], validate=True))
      except (binascii.Error, ValueError) as error:
        raise ValueError(f"{where}[{key!r}] is not base64: {error}") from None
      if held != steps * shape[size]:
        raise ValueError(
            f"{where}[{key!r}] must hold {steps * shape[size]} bytes, rows x"
            f" length x parallel x {size}; it holds {held}"
        )
    rows = results.get("codes", {}).get(family, {}).get("rows")
    if rows and not all(0 <= row < len(rows["step"]) for row in found["rows"]):
      raise ValueError(
          f"{where}['rows'] must be places in results['codes'][{family!r}]"
          f"['rows'], of which there are {len(rows['step'])}"
      )


def require(value: Any, required: Any, where: str) -> None:
  """Refuses a value that is not as it must be.

  Args:
    value: anything.
    required: None (anything goes), a mapping as in `REQUIRED`, a list of one
      (a list of such values), or a function of (value, where) that raises.
    where: what the value is called.

  Raises:
    ValueError: it is not; names the key.
  """
  if required is None:
    return
  if callable(required):
    required(value, where)
    return
  if isinstance(required, list):
    if not isinstance(value, list | tuple):
      kind = type(value).__name__
      raise ValueError(f"{where} must be a list, got {kind}")
    for i, one in enumerate(value):
      require(one, required[0], f"{where}[{i}]")
    return
  if not isinstance(value, Mapping):
    kind = type(value).__name__
    raise ValueError(f"{where} must be a mapping, got {kind}")
  if EACH in required:
    if not value:
      raise ValueError(f"{where} is empty")
    required = dict.fromkeys(value, required[EACH])
  for name, inner in required.items():
    optional, name = name.endswith("?"), name.removesuffix("?")
    if name in value:
      require(value[name], inner, f"{where}[{name!r}]")
    elif not optional:
      raise ValueError(f"{where} lacks {name!r}")


def _same(where, lists):
  """Refuses lists of different lengths."""
  sizes = {name: len(values) for name, values in lists.items()}
  if len(set(sizes.values())) > 1:
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    raise ValueError(f"{where}: lengths differ: {listed}")
