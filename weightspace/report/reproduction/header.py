"""What stands at the top of the page: what was run, and headline numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weightspace.report import text
from weightspace.report.reproduction import words
from weightspace.report.sections import Section


def summary(results: Mapping[str, Any], content: Sequence[Section]) -> str:
  """What was done in a few sentences, a few numbers, and where to find what."""
  facts = "".join(
      f"<div><dt>{what}</dt><dd>{text.escape(value)}</dd></div>"
      for value, what in _facts(results)
  )
  contents = "".join(
      f'<li><a href="#section-{i}">{text.escape(section.title)}</a></li>'
      for i, section in enumerate(content, 1)
  )
  return (
      f'<p class="lead">{" ".join(_said(results))}</p>'
      + (f'\n<dl class="facts">{facts}</dl>' if facts else "")
      + f'\n<nav aria-label="Sections"><ul class="contents">{contents}</ul>'
      "</nav>"
  )


def _said(results) -> Iterator[str]:
  yield (
      "Each recurrent network of a zoo is summed up in a short vector, its"
      " code, by encoders that read its weights or interrogate it. A code is"
      " good if another network, the emulator, can imitate the network from it"
      " alone, and if it tells what the network does."
  )
  runs = results.get("runs", {})
  if not runs:
    return
  encoders = {one["encoder"] for one in runs.values()} & set(text.ENCODERS)
  families = words.ordered({one["family"] for one in runs.values()})
  zoos = " and ".join(text.escape(words.family(f)) for f in families)
  size = results.get("size")
  sized = f" at size <b>{text.escape(size)}</b>" if size else ""
  yield (
      f"{text.count(len(runs))} trainings{sized} stand behind this page:"
      f" {text.count(len(encoders))} encoders on {zoos}. Numbers are means over"
      " seeds with 95 % intervals; pointing at one tells from which runs it"
      " comes, and the last section lists them."
  )


def _facts(results) -> Iterator[tuple[str, str]]:
  for family, found in _by_family(results, "emulation"):
    divergence = found["divergence"]
    losses = {
        name: one["validation"].get(divergence)
        for name, one in found.get("encoders", {}).items()
        if name != "constant"
    }
    if best := _best(losses, less=True):
      yield (
          text.number(best[1]["value"]),
          f"{text.escape(text.divergence(divergence))}, validation, of"
          f" {text.escape(text.encoder(best[0]))}, the best encoder{family}",
      )
  for family, found in _by_family(results, "prediction"):
    for property_, metric in (("task", "per_count_accuracy"),
                              ("angle", "degrees")):  # fmt: skip
      told = {
          name: by.get(property_, {})
          .get("strict", {})
          .get("test", {})
          .get(metric)
          for name, by in found.get("frozen", {}).items()
      }
      less = words.less_is_better(metric)
      if best := _best(told, less=less):
        yield (
            words.write(metric)(best[1]["value"]),
            f"{words.property_(property_)} of held-out tasks from frozen codes"
            f" of {text.escape(text.encoder(best[0]))}:"
            f" {words.measure(metric)}{family}",
        )


def _by_family(results, part):
  for name in words.ordered(results.get(part, {})):
    yield f" ({text.escape(words.family(name))})", results[part][name]


def _best(cells, *, less):
  known = [
      (name, cell)
      for name, cell in cells.items()
      if cell and text.is_number(cell["value"])
  ]
  if not known:
    return None
  choose = min if less else max
  return choose(known, key=lambda item: item[1]["value"])
