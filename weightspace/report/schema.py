"""What a report needs of the results, checked before anything is drawn."""

from collections.abc import Mapping
from typing import Any

_INTERVAL = {"value": None, "low": None, "high": None}
_BAND = {"median": None, "low": None, "high": None}
EACH = "*"  # every key that is there, at least one

# Every section may be missing. One that is there must have these keys, those
# with a question mark only if they are there; others are not looked at here.
REQUIRED: dict[str, Any] = {
    "zoo": {
        "shapes": None,
        "networks": None,
        "tasks": None,
        "rows": None,
        "steps": None,
        "curves": {
            "accuracy": _BAND,
            "accuracy_counts?": _BAND,
            "loss?": _BAND,
            "train_loss?": _BAND,
            "eval_loss?": _BAND,
        },
        "final_accuracy": None,
    },
    "splits": {EACH: {"tasks": None, "rows": None}},
    "emulation": {
        "divergence": None,
        "encoders": {
            EACH: {
                "curve?": {"step": None, "train": None},
                "validation_curve?": {"step": None, "loss": None},
                "validation": {EACH: _INTERVAL},
                "ood?": {EACH: _INTERVAL},
                "gain?": {EACH: _INTERVAL},
            }
        },
    },
    "prediction": {
        "encoders": {
            EACH: {EACH: {EACH: {"test": {EACH: None}}}},
        },
        "scatter?": {"encoder": None, "predicted": None, "actual": None},
    },
    "codes": {EACH: {"pca": None, "explained": None}},
    "rows": {"task": None, "step": None, "accuracy": None, "split": None},
}
_TRANSCRIPT = {"symbols": None, "probes": None, "answers": None}


def check(results: Mapping[str, Any]) -> None:
  """Refuses results that a report cannot be made of.

  Raises:
    ValueError: something that is needed is missing, and what.
  """
  if not isinstance(results, Mapping):
    kind = type(results).__name__
    raise ValueError(f"results must be a mapping, got {kind}")
  for name, required in REQUIRED.items():
    if name in results:
      require(results[name], required, f"results[{name!r}]")
  for i, transcript in enumerate(results.get("transcripts", ())):
    require(transcript, _TRANSCRIPT, f"results['transcripts'][{i}]")
  if "codes" in results:
    if "rows" not in results:
      raise ValueError("results['codes'] cannot be drawn: no results['rows']")
    _same_length(results)
  if not set(results) & {*REQUIRED, "transcripts"}:
    sections = ", ".join([*REQUIRED, "transcripts"])
    raise ValueError(f"results have nothing to report: none of {sections}")


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


def _same_length(results):
  rows, codes = results["rows"], results["codes"]
  sizes = {f"rows.{k}": len(v) for k, v in rows.items()}
  sizes |= {f"codes.{k}.pca": len(v["pca"]) for k, v in codes.items()}
  if len(set(sizes.values())) > 1:
    listed = ", ".join(f"{k} {n}" for k, n in sizes.items())
    raise ValueError(f"results about rows differ in length: {listed}")
