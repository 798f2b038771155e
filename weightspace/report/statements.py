"""Sentences about results that their numbers bear out."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weightspace.report import charts, text, vocabulary
from weightspace.report.frame import ALL, FINAL, select

if TYPE_CHECKING:
  import pandas as pd

_ROWS = {
    "train": "training", "validation": "validation",
    "ood_train": "OOD training", "test": "test",
}  # fmt: skip


def facts(
    results: Mapping[str, Any], frame: "pd.DataFrame"
) -> list[tuple[str, str]]:
  """The numbers at the top of the page, each with what it is of."""
  listed = []
  several = len(results.get("zoos", {})) > 1
  for family in vocabulary.families(set(frame["family"])):
    words = vocabulary.of_family(family)
    where = f" ({words.short})" if several else ""
    zoo = results.get("zoos", {}).get(family, {})
    if zoo.get("final_accuracy") and not several:
      listed.append((
          text.percent(_median(zoo["final_accuracy"])),
          f"{words.accuracy} of the median network at the end of its training",
      ))
    gains = gain(frame, family)
    if len(gains):
      best = gains.iloc[0]
      listed.append((
          text.percent(best["value"]),
          f"of the emulation loss removed by {_encoder(best)} on held-out"
          f" {words.tasks}{where} ({_interval(best, text.percent)})",
      ))
    for property_, metric, what, chance in (
        ("task", "per_count_accuracy",
         f"of the {words.numbers} of held-out {words.tasks}", words.guessing),
        ("angle", "degrees", "mean error of held-out angles", "90°"),
    ):  # fmt: skip
      if (best := best_prediction(frame, family, property_, metric)) is None:
        continue
      write = text.degrees if metric == "degrees" else text.percent
      final = " trained networks" if best["snapshot"] == FINAL else " networks"
      listed.append((
          write(best["value"]),
          f"{what} read off the codes of{final} by {_encoder(best)}{where}"
          f" ({_interval(best, write)}"
          + (f"; blind guessing: {chance})" if chance else ")"),
      ))
  return listed


def _encoder(row):
  return vocabulary.encoder(row["encoder"])


def _interval(row, write):
  if not text.is_number(row["low"]):
    return "no interval"
  return f"95 % interval {text.between(row['low'], row['high'], write)}"


def _median(values):
  known = [v for v in values if text.is_number(v)]
  return float(np.median(known)) if known else None


def gain(frame: "pd.DataFrame", family: str) -> "pd.DataFrame":
  """Loss removed on held-out tasks, the best encoder of validation first."""
  rows = select(frame, table="emulation", family=family, metric="gain")
  rows = rows[(rows["encoder"] != "truth") & rows["value"].notna()]
  validation = select(rows, part="validation").set_index("encoder")["value"]
  return select(rows, part="ood").sort_values(
      "encoder", key=lambda names: names.map(validation), ascending=False,
      kind="stable",
  )  # fmt: skip


def best_prediction(frame, family: str, property_: str, metric: str):
  """What the best frozen encoder of validation predicts, on the strict test.

  The best is the one with the lowest validation loss. Of final snapshots, or of
  all where these are not known apart; None without any.
  """
  rows = select(
      frame, table="prediction", family=family, way="frozen", part="test",
      protocol="strict", property=property_, metric=metric,
  )  # fmt: skip
  rows = rows[rows["value"].notna()]
  final = select(rows, snapshot=FINAL)
  rows = final if len(final) else select(rows, snapshot=ALL)
  if not len(rows):
    return None
  losses = select(frame, table="pretraining", family=family)
  losses = losses.sort_values("value")["encoder"]
  ranked = [*gain(frame, family)["encoder"], *losses]
  rows = rows[rows["encoder"].isin(ranked)]  # codes, not rules
  if not len(rows):
    return None
  return rows.iloc[int(np.argmin(rows["encoder"].map(ranked.index)))]


def shapes(zoo: Mapping[str, Any]) -> str:
  """The networks of a zoo: cells, layers, units, weights."""
  from weightspace import rnn

  shapes = zoo["shapes"]
  words = rnn.describe([(one["cell"], one["hidden"]) for one in shapes])
  sizes = [one["parameters"] for one in shapes]
  ends = dict.fromkeys((min(sizes), max(sizes)))
  return f"{words}, {' to '.join(map(text.count, ends))} weights"


def trained_on(zoo: Mapping[str, Any], words: Any) -> str:
  """What the networks of a zoo were trained on, after "were"."""
  names = zoo.get("task_names", ["task"])
  return words.trained_on.format(
      count=text.count(zoo["tasks"]), names=_listed(names)
  )


def verdict(frame: "pd.DataFrame", family: str) -> str:
  """How much of the loss codes remove on held-out tasks; empty if unknown."""
  gains = gain(frame, family)
  if not len(gains):
    return ""
  tasks = vocabulary.of_family(family).tasks
  best, *others = gains.to_dict("records")
  if not best["low"] > 0:
    return (
        f"On {tasks} that were held out, codes of {_encoder(best)} do not"
        " clearly beat a code that is the same for all networks."
    )
  listed = "".join(
      f", those of {_encoder(one)} {text.percent(one['value'])}"
      for one in others
  )
  bound = select(
      frame, table="emulation", family=family, encoder="truth", metric="gain",
      part="ood",
  )  # fmt: skip
  bound_text = (
      " An emulator that is given the truth about each network instead of a"
      f" code removes {text.percent(bound['value'].iloc[0])}."
      if len(bound)
      else ""
  )
  return (
      f"On {tasks} that were held out, codes of {_encoder(best)} remove"
      f" {text.percent(best['value'])} of the loss that is left when every"
      f" network gets the same code{listed}.{bound_text}"
  )


def ranking(rows: "pd.DataFrame", divergence: str) -> str:
  """Which encoder is best on validation, and whether intervals overlap."""
  rows = select(rows, way="", metric=divergence, part="validation")
  rows = rows[rows["value"].notna() & (rows["encoder"] != "truth")]
  if len(rows) < 2:
    return ""
  first, second = rows.nsmallest(2, "value").to_dict("records")
  apart = first["high"] < second["low"]
  return (
      f"On validation tasks {_encoder(first)} is best; its interval"
      f" {'lies below' if apart else 'overlaps'} that of {_encoder(second)},"
      " the next."
  )


def tested(rows: "pd.DataFrame", tasks: str) -> str:
  """How many networks are tested; fewer of properties with missing values."""
  counts = select(rows, snapshot=ALL).groupby("metric")["value"]
  if not len(counts):
    return ""

  def between(metric):
    ends = dict.fromkeys((counts.min()[metric], counts.max()[metric]))
    return " to ".join(map(text.count, ends))

  networks, of = between("networks"), between("tasks")
  among = f" of {of} {tasks}" if of != networks else ""
  return f"Networks tested: {networks}{among}."


def undefined(rows: "pd.DataFrame") -> str:
  """Which properties have no R² on the test, and why; empty if all have."""
  rows = select(rows, part="test", metric="r2", snapshot=[ALL, FINAL])
  names = dict.fromkeys(rows[rows["value"].isna()]["property"])
  if not names:
    return ""
  return (
      f"Where the R² of {_listed(map(vocabulary.property_, names))} is missing,"
      " it is undefined: the networks measured all have the same value. "
  )


def left_out(encoders: Mapping[str, Any]) -> str:
  """How many rows have no value of a property; empty if all have.

  Args:
    encoders: {encoder: {property: {protocol: its report}}}.
  """
  sentences: dict[str, str] = {}
  for properties in encoders.values():
    for name, protocols in properties.items():
      for report in protocols.values():
        counts = [
            f"{count} {_ROWS[part]}"
            for part, count in report.get("unknown", {}).items()
        ]
        if counts:
          sentences[name] = (
              f"Left out, without a value of {vocabulary.property_(name)}, are"
              f" {_listed(counts)} rows. "
          )
  return "".join(sentences.values())


def _listed(words):
  *first, last = words
  return f"{', '.join(first)} and {last}" if first else last


def claims(rows: "pd.DataFrame", unit: str) -> Iterator[str]:
  """Where the claimed gain of pretraining is measured, by property."""
  for name, gains in select(rows, metric="improvement").groupby(
      "property", sort=False
  ):
    first, _, second = (
        f"{gains['encoder'].iloc[0]}, {gains['way'].iloc[0]}"
    ).partition(" over ")
    clear = gains[gains["low"] >= charts.CLAIM]
    close = gains[(gains["value"] >= charts.CLAIM) & ~gains.index.isin(
        clear.index
    )]  # fmt: skip
    parts = [
        f"{what} at {', '.join(map(text.count, of['setting']))}"
        for what, of in (
            ("holds, with the whole interval,", clear),
            ("holds for the mean alone", close),
        )
        if len(of)
    ]
    measured = gains["value"].notna().any()
    parts = parts or [
        "is met at no number of labels" if measured else "is not tested"
    ]
    holds = f" ({unit})" if len(clear) or len(close) else ""
    title = vocabulary.property_(name)
    yield (
        f"{title[:1].upper()}{title[1:]}: the claim, for"
        f" {vocabulary.encoder(first)} over {vocabulary.encoder(second)},"
        f" {'; it '.join(parts)}{holds}."
    )


def likeliest(transcript: Mapping[str, Any]) -> str:
  """The likeliest symbols of the first sequence, as text."""
  symbols = transcript["symbols"]

  def spell(steps):
    best = [int(np.argmax(np.asarray(step[0], float))) for step in steps]
    if not symbols:  # tiles were shown, digits answered
      return " ".join(map(str, best))
    return " ".join(str(symbols[b]) if b < len(symbols) else "?" for b in best)

  probes = spell(transcript["probes"]) if symbols else "numbers"
  return f"Probes: {probes}. Answers: {spell(transcript['answers'])}."
