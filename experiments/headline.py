"""The few numbers of results that matter first, for programs and for people."""

from collections.abc import Mapping
from typing import Any

from weightspace import properties
from weightspace.report import tables


def of(found: Mapping[str, Any]) -> dict[str, Any]:
  """The numbers of the best encoder on held-out tasks, strict protocol.

  The best is the one with the lowest validation loss. Tasks are told of final
  snapshots; how well a network does its task, of all: among final networks,
  accuracy varies little more than its measurement does.

  Args:
    found: results of a study.

  Returns:
    "encoder"; "task_per_count" and "task_all_right", shares of the numbers of
    a task and of whole tasks that are right; "accuracy_r2", of all snapshots;
    "accuracy_r2_final", of final ones; "degrees", mean error of an angle;
    "loss_removed", the share of the constant code's loss. What is not known of
    a zoo is left out.
  """
  emulation = found["emulation"]
  encoders, divergence = emulation["encoders"], emulation["divergence"]
  known = [name for name in encoders if name in found["prediction"]["encoders"]]
  best = min(
      known, key=lambda n: encoders[n]["validation"][divergence]["value"]
  )
  predicted = found["prediction"]["encoders"][best]
  numbers: dict[str, Any] = {"encoder": best}

  def add(name, property_name, metric, final):
    report = predicted.get(property_name, {}).get("strict", {})
    test = (tables.final(report) if final else report).get("test", {})
    if metric in test:
      numbers[name] = test[metric]["value"]

  add("task_per_count", "task", "per_count_accuracy", True)
  add("task_all_right", "task", "all_right", True)
  add("degrees", "angle", "degrees", True)
  add("accuracy_r2", "accuracy", "r2", False)
  add("accuracy_r2_final", "accuracy", "r2", True)
  if "ood" in encoders[best].get("gain", {}):
    numbers["loss_removed"] = encoders[best]["gain"]["ood"]["value"]
  return numbers


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
  """What to print of results, for each encoder."""
  brief: dict[str, Any] = {}
  for name, entry in found["emulation"]["encoders"].items():
    divergence = found["emulation"]["divergence"]
    brief[name] = {
        f"emulation, {part}": _show(entry[part][divergence])
        for part in ("validation", "ood")
    }
    told = found["prediction"]["encoders"].get(name, {})
    for property_name, protocols in told.items():
      measure = properties.load(property_name).headline
      for protocol, report in protocols.items():
        title = f"{property_name}, {measure}, held out, {protocol} protocol"
        brief[name][title] = _show(report["test"][measure])
        if final := tables.final(report):
          brief[name][f"{title}, final networks"] = _show(
              final["test"][measure]
          )
  return brief


def _show(estimate):
  return "{value:.3f} ({low:.3f}, {high:.3f})".format(**estimate)
