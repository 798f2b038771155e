"""Tables of a study in the text of a document, in Markdown."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weightspace.errors import UserError
from weightspace.report import charts, contents, vocabulary
from weightspace.report.frame import ALL, FINAL, select, tidy
from weightspace.report.tables import Table, pivot, to_markdown

if TYPE_CHECKING:
  import pandas as pd

_END = "<!-- end -->"


def fill(text: str, study: str, results: Mapping[str, Any]) -> str:
  """A document with the tables of one study in their places.

  Args:
    text: with `<!-- NAME of STUDY -->`, the table, `<!-- end -->`.
    study: its name in these places; those of others are left alone.
    results: of the study.

  Raises:
    ValueError: no such table, or a place without an end.
  """
  frame = tidy(results)

  def write(name):
    if name == "source":
      return made_by(results)
    if name == "claims":
      return to_markdown(contents.claims(results["claims"]))
    if name not in TABLES:
      raise UserError(
          f"no table {name!r}; there are: source, claims, {', '.join(TABLES)}"
      )
    return to_markdown(TABLES[name](frame))

  return _fill(text, study, write)


def _fill(text, study, write):
  """`text` with what `write` makes of the name of each place of a study."""

  def fill_one(match):
    return f"{match.group(1)}\n{write(match.group(2))}\n{_END}"

  begin = rf"(<!-- ([a-z ]+) of {re.escape(study)} -->)"
  place = rf"{begin}(?:(?!<!--).)*{_END}"
  if len(re.findall(begin, text)) != len(re.findall(place, text, re.DOTALL)):
    raise UserError(f"a table of {study} is not closed by {_END}")
  return re.sub(place, fill_one, text, flags=re.DOTALL)


def fill_worlds(
    text: str, place: str, studies: Mapping[str, Mapping[str, Any]]
) -> str:
  """A document with a table that compares studies, each of one family.

  Args:
    text: with `<!-- worlds of PLACE -->`, the table, `<!-- end -->`.
    place: the name of all of them.
    studies: results by the name of their world.

  Raises:
    ValueError: another table, or a place without an end.
  """
  import pandas as pd

  frame = pd.concat([
      tidy(results).assign(world=name) for name, results in studies.items()
  ], ignore_index=True)

  def write(name):
    if name != "worlds":
      raise UserError(f"no table {name!r} of several studies, but worlds")
    return to_markdown(_worlds(frame))

  return _fill(text, place, write)


def made_by(results: Mapping[str, Any]) -> str:
  """The command, the zoos, and the commits of the runs."""
  runs = results["runs"].values()
  commits = sorted({run["commit"] or "unknown" for run in runs})
  zoos = ", ".join(
      f"{zoo['networks']} networks on {vocabulary.of_family(name).short},"
      f" {zoo['tasks']} tasks, {zoo['rows']} snapshots"
      for name, zoo in results["zoos"].items()
  )
  seconds = results.get("job_seconds") or results["seconds"]
  hours = sum(seconds.values()) / 3600
  return (
      f"`{results['command']}`, {len(runs)} runs in {hours:.1f} hours of"
      f" jobs beside the zoos', at {', '.join(commits)}: {zoos}."
  )


def _kept(frame: "pd.DataFrame") -> Table:
  """What codes keep: neighbours and invariance."""
  titles = {"permutation": "drift, permutations", "signed": "drift, signed"}
  return pivot(
      frame,
      {
          "family": ("zoo", lambda name: vocabulary.of_family(name).short),
          "encoder": ("codes of", vocabulary.encoder),
      },
      ("setting", "way"),
      lambda k, way: ("", titles.get(way, f"neighbours, k={k}")),
      order=lambda k, way: (way != "",),
  )


def _worlds(frame: "pd.DataFrame") -> Table:
  """What frozen codes tell of the task in several worlds: a column an encoder.

  Encoders go by their plug-in, however they differ. The frame has a column
  "world". Held-out tasks are shown, of final networks, strict protocol.
  """
  rows = select(
      frame, table="prediction", part="test", protocol="strict", way="frozen",
      property=["task", "parameters"], snapshot=[FINAL, ALL],
  )  # fmt: skip
  # Where no other snapshots differ from final ones, these are all there is
  rows = charts.headlines(rows).sort_values(
      "snapshot", key=lambda names: names != FINAL, kind="stable"
  )
  shown = rows.drop_duplicates(["world", "encoder", "property"]).sort_index()
  shown = shown.assign(encoder=shown["encoder"].str.partition(",")[0])
  ranks = vocabulary.ordered(dict.fromkeys(shown["encoder"]))
  return pivot(
      frame,
      {
          "world": ("networks trained on", lambda name: name.replace("_", " ")),
          "metric": ("measure", vocabulary.measure),
      },
      ("encoder",),
      lambda name: ("", vocabulary.encoder(name)),
      shown=shown,
      order=lambda name: ranks.index(name),
  )


def _summary(frame: "pd.DataFrame") -> Table:
  """Loss, task and accuracy of one zoo's encoders, the paper's loss beside.

  Properties are of held-out tasks, from frozen codes, strict protocol: the
  task of final networks, how well networks do it of all snapshots.
  """
  import pandas as pd

  losses = select(frame, table="emulation", metric="total_variation")
  predicted = select(
      frame, table="prediction", part="test", protocol="strict", way="frozen"
  )
  predicted = [
      charts.headlines(select(predicted, property=name, snapshot=snapshots))
      for name, snapshots in (("task", FINAL), ("accuracy", ALL))
  ]
  titles = {
      ("", "validation"): "validation loss",
      ("", "ood"): "held-out loss",
      ("task", "test"): "task, held out",
      ("accuracy", "test"): "R² of accuracy, held out",
  }

  def title(way, property_, part):
    return "", "the paper" if way == "paper" else titles[property_, part]

  return pivot(
      frame,
      {"encoder": ("encoder", vocabulary.encoder)},
      ("way", "property", "part"),
      title,
      shown=pd.concat([losses, *predicted]),
      order=lambda way, property_, part: (
          way == "paper",
          list(titles).index((property_, part)),
      ),
  )


PREDICTED = {
    "languages": "formal_language",
    "digits": "tiled_mnist",
    "automata": "regular_language",
    "brackets": "dyck_language",
    "sums": "modular_sum",
    "policies": "policy",
    "bandits": "bandit",
}
TABLES = {
    "emulation": lambda f: contents.emulation(
        _without_gain(select(f, table="emulation"))
    ),
    **{
        f"prediction of {name}": lambda f, family=family: contents.by_property(
            select(f, table="prediction", family=family)
        )
        for name, family in PREDICTED.items()
    },
    **{
        f"summary of {name}": lambda f, family=family: _summary(
            select(f, family=family)
        )
        for name, family in PREDICTED.items()
    },
    "clones": lambda f: contents.clones(select(f, table="clones")),
    "few labels": lambda f: contents.few_labels(select(f, table="few labels")),
    "codes": lambda f: _kept(select(f, table=["neighbours", "invariance"])),
    "ablations": lambda f: contents.variants(
        select(f, table="variants", way="sequences")
    ),
    "remedies": lambda f: contents.variants(
        select(f, table="variants", way="stability")
    ),
    "ingredients": lambda f: contents.variants(
        select(f, table="variants", way="ingredients")
    ),
}


def _without_gain(frame):
  return frame[~frame["metric"].isin(["gain", "parameters"])]
