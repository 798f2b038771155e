"""The few numbers of results that matter first, for programs and for people."""

import math
from collections.abc import Mapping
from typing import Any

from weightspace import properties


def of(results: Mapping[str, Any]) -> dict[str, Any]:
  """The headline of each zoo, or that of the only one; see `of_family`."""
  numbers = {
      family: headline
      for family in results.get("zoos", {})
      if (headline := of_family(results, family))
  }
  if len(results.get("zoos", {})) == 1:
    return next(iter(numbers.values()), {})
  return numbers


def of_family(results: Mapping[str, Any], family: str) -> dict[str, Any]:
  """The numbers of the best encoder on held-out tasks, strict protocol.

  The best is the one with the lowest validation loss. Tasks are predicted of
  final snapshots; how well a network does its task, of all: among final
  networks, accuracy varies little more than its measurement does.

  Args:
    results: of a study.
    family: of the zoo.

  Returns:
    "encoder"; "task_per_count" and "task_all_right", shares of the numbers of
    a task and of whole tasks that are right; "accuracy_r2", of all snapshots;
    "accuracy_r2_final", of final ones; "degrees", mean error of an angle;
    "loss_removed", the share of the constant code's loss;
    "clone_correlation", of the accuracies of clones and originals. What is not
    known of a zoo is left out.
  """
  emulation = results.get("emulation", {}).get(family, {})
  frozen = results.get("prediction", {}).get(family, {}).get("frozen", {})
  divergence = emulation.get("divergence")
  losses = {
      name: one["validation"][divergence]["value"]
      for name, one in emulation.get("encoders", {}).items()
      if name in frozen and one["validation"][divergence]["value"] is not None
  }
  pretraining = results.get("pretraining", {}).get(family, {})
  for name, one in pretraining.get("encoders", {}).items():
    if name in frozen and one["validation"] is not None:
      losses[name] = one["validation"]
  if not losses:
    return {}
  best = min(losses, key=losses.get)
  numbers: dict[str, Any] = {"encoder": best}

  def add(name, property_name, metric, is_final):
    report = frozen[best].get(property_name, {}).get("strict", {})
    test = (final(report) if is_final else report).get("test", {})
    if metric in test:
      numbers[name] = test[metric]["value"]

  add("task_per_count", "task", "per_count_accuracy", True)
  add("task_all_right", "task", "all_right", True)
  add("degrees", "angle", "degrees", True)
  add("accuracy_r2", "accuracy", "r2", False)
  add("accuracy_r2_final", "accuracy", "r2", True)
  gain = emulation.get("encoders", {}).get(best, {}).get("gain", {})
  if "ood" in gain:
    numbers["loss_removed"] = gain["ood"]["value"]
  clones = results.get("clones", {}).get(family, {}).get(best)
  if clones:
    numbers["clone_correlation"] = clones["correlation"]["value"]
  return numbers


def final(report: Mapping[str, Any]) -> Mapping[str, Any]:
  """The part of a report that is of final snapshots; empty without one."""
  by_step = report.get("by_step", {})
  return by_step[max(by_step, key=int)] if by_step else {}


def summary(results: Mapping[str, Any], family: str) -> dict[str, Any]:
  """What to print of a zoo's results, for each encoder."""
  emulation = results.get("emulation", {}).get(family, {"encoders": {}})
  frozen = results.get("prediction", {}).get(family, {}).get("frozen", {})
  other = results.get("pretraining", {}).get(family, {})
  brief: dict[str, Any] = {
      name: {f"{other['objective']}, validation": f"{entry['validation']:.3f}"}
      for name, entry in other.get("encoders", {}).items()
  }
  for name, entry in emulation["encoders"].items():
    brief[name] = {
        f"emulation, {title}": _show(entry[part][emulation["divergence"]])
        for part, title in (("validation", "validation"), ("ood", "held out"))
        if part in entry
    }
  for name in brief:
    for property_name, protocols in frozen.get(name, {}).items():
      for protocol, report in protocols.items():
        measure = properties.headline(property_name, report["test"])
        title = f"{property_name}, {measure}, held out, {protocol} protocol"
        brief[name][title] = shown = _test(report, measure)
        last = final(report)
        if measure in last.get("test", {}) and _test(last, measure) != shown:
          brief[name][f"{title}, final networks"] = _test(last, measure)
      if "unknown" in report:
        brief[name][f"{property_name}, rows left out without a value"] = (
            ", ".join(
                f"{count} {part.replace('_', ' ')}"
                for part, count in report["unknown"].items()
            )
        )
  return brief


def _test(report, measure):
  """The test of a property: its number, of how many, and a guess beside it."""
  parts = [_show(report["test"][measure])]
  if "tested" in report:
    networks, tasks = (
        report["tested"][what]["test"] for what in ("networks", "tasks")
    )
    of = f" of {tasks} tasks" if tasks < networks else ""
    parts.append(f"{networks} network{'s' if networks != 1 else ''}{of}")
  if "guess" in report:
    parts.append(
        "guessing the most frequent class of training:"
        f" {report['guess']['test'][measure]:.3f}"
    )
  return "; ".join(parts)


def _show(estimate):
  if estimate["value"] is None or math.isnan(estimate["value"]):
    return "undefined: the networks tested all have the same value"
  return "{value:.3f} ({low:.3f}, {high:.3f})".format(**estimate)
