"""The page of the theory: what was solved, built and learned."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from weightspace.report import page, sections, text, theory_figures
from weightspace.report.sections import Picture, Section, Tabled
from weightspace.report.tables import Cell, Table

_CELLS = {"elman": "Elman", "lstm": "LSTM", "gru": "GRU"}
_FORMULAS = {
    "points": "<i>f<sub>i</sub></i>(<i>x</i>) = [<i>x</i> = <i>i</i>]",
    "thresholds": "<i>f<sub>i</sub></i>(<i>x</i>) = [<i>x</i> ≥ <i>i</i>]",
    "secret paths": (
        "<i>f<sub>w</sub></i>(<i>p</i>) = 1 + <i>w</i><sub>|<i>p</i>|</sub> if"
        " <i>p</i> is a prefix of <i>w</i>, else 0"
    ),
}


def write(
    results: Mapping[str, Any], folder: str | pathlib.Path
) -> pathlib.Path:
  """Writes FOLDER/index.html, its figures and its tables.

  Args:
    results: what `experiments.theory` found: "exact", "built", "learning".
    folder: see `page.write`.

  Returns:
    The path of the page.
  """
  return page.assemble(
      results["title"], _summary(results), _sections(results), folder
  )


def _sections(results) -> Iterator[Section]:
  yield _exact(results["exact"])
  yield _built(results["built"])
  yield _learning(results["learning"])
  yield from sections.made(results)


def _summary(results):
  deepest = results["exact"]["families"]["secret paths"][-1]
  last = results["built"][-1]
  facts = [
      (
          f"{deepest['interactive']} : {text.count(deepest['noninteractive'])}",
          "queries, interactive against non-interactive, that"
          f" {text.count(deepest['functions'])} secret paths take: solved"
          " exactly",
      ),
      (
          text.number(last["bits"]["most"]),
          f"bits of {last['depth']} that a string fixed beforehand reveals on"
          " average; an echo reads all of them",
      ),
      *_told(results["learning"]["arms"]),
  ]
  listed = "".join(
      f"<div><dt>{words}</dt><dd>{text.escape(value)}</dd></div>"
      for value, words in facts
  )
  return (
      '<p class="lead">Somebody holds one function of a known finite family'
      " <i>D</i>. To find out which, an <i>interactive</i> interrogator chooses"
      " each query after hearing the answers so far; a <i>non-interactive</i>"
      " one fixes all queries beforehand. Section 3 of the paper says that"
      " |<i>D</i>| − 1 queries always suffice either way, and that for some"
      " families interaction saves exponentially many. Here both are solved,"
      " built from recurrent networks, and learned.</p>"
      f'\n<dl class="facts">{listed}</dl>'
  )


def _told(arms):
  """What encoders tell at the greatest depth, with and without interaction."""
  depth = max(arm["depth"] for arm in arms)
  told = {arm["arm"]: arm for arm in arms if arm["depth"] == depth}
  if not {"interactive, echoing", "non-interactive"} <= set(told):
    return
  best, fixed = told["interactive, echoing"], told["non-interactive"]
  yield (
      f"{text.percent(best['accuracy']['value'])} :"
      f" {text.percent(fixed['accuracy']['value'])}",
      f"of paths of {depth} bits told by trained encoders, with"
      f" {best['queries']} queries each; counting allows"
      f" {text.percent(fixed['predicted']['accuracy'])} without interaction",
  )


def _exact(found):
  formulas = "".join(
      f"<li>{name}: {formula}</li>" for name, formula in _FORMULAS.items()
  )
  sizes = [f"{text.count(one[-1]['functions'])} {name}"
           for name, one in found["families"].items()]  # fmt: skip
  wrong = sum(
      row[kind] != row["closed_form"][kind]
      for one in found["families"].values()
      for row in one
      for kind in ("interactive", "noninteractive")
  )
  verdict = (
      "All of them are what the closed forms say."
      if not wrong
      else f"{wrong} of them differ from the closed forms."
  )
  return Section(
      "Solved: the fewest queries of three families",
      [
          f"<p>An interactive interrogator is a decision tree, and the fewest"
          " queries are the depth of the shallowest one. A non-interactive one"
          " is a set of queries in whose answers no two functions agree; the"
          " fewest are the size of the smallest such set. Both are computed"
          f" exactly, by branch and bound, for</p><ul>{formulas}</ul>"
          f"<p>of every size up to {', '.join(sizes)}. {verdict}</p>",
          Picture(
              "exact",
              theory_figures.exact(found["families"]),
              "Queries that are needed, against the number of functions, for"
              " points, thresholds and secret paths.",
              "<b>Fewest queries in the worst case.</b> Marks are solved, lines"
              " are closed forms, both axes are logarithmic. Nothing helps with"
              " points: all but one must be asked about. Thresholds fall to"
              " binary search. Secret paths are walked in <i>d</i> = log₂"
              " |<i>D</i>| steps, but words that differ in their last bit only"
              " are told apart by a single query, so that |<i>D</i>| / 2"
              " queries have to be fixed. The dashed line is |<i>D</i>| − 1,"
              " which no family exceeds.",
          ),
          Tabled(
              _costs(found["every"]),
              "<b>Every family there is of a few functions,</b> up to what"
              " answers are called and queries that repeat. All are solved; how"
              " many need how many queries. None needs more than |<i>D</i>| −"
              " 1, and interaction never costs.",
              "every-family",
          ),
      ],
  )


def _costs(every):
  rows = [
      [
          Cell(one["functions"], text.count),
          Cell(one["answers"], text.count),
          Cell(cost["interactive"], text.count),
          Cell(cost["noninteractive"], text.count),
          Cell(cost["families"], text.count),
      ]
      for one in every
      for cost in one["costs"]
  ]
  return Table(
      ("functions", "answers, at most", "interactive", "non-interactive",
       "families"),
      ("functions", "answers", "interactive", "noninteractive", "families"),
      rows,
      labels=2,
  )  # fmt: skip


def _built(found):
  networks = sum(row["networks"] for row in found)
  answers = sum(row["answers"] for row in found)
  wrong = sum(row["wrong"] for row in found)
  echoed = sum(row["echoed"] for row in found)
  cells = ", ".join(dict.fromkeys(_CELLS[row["cell"]] for row in found))
  return Section(
      "Built: a recurrent network for every secret path",
      [
          "<p>A network of <i>d</i> + 1 units computes <i>f<sub>w</sub></i>:"
          " it answers the next bit of <i>w</i> as long as what it has read"
          " follows <i>w</i>, and OFF from then on. Its weights are given in"
          " closed form. One unit is a clock that starts the walk, the others"
          " each wait for one bit, and all saturate. For each cell"
          f" ({cells}), {text.count(networks)} networks in all were asked every"
          f" string: of {text.count(answers)} answers"
          f" {text.count(wrong)} were wrong. Echoing each answer back as the"
          f" next question read the word of {text.count(echoed)} of them in"
          " <i>d</i> steps.</p>",
          Picture(
              "revealed",
              theory_figures.revealed(found),
              "Bits of the word that a rollout reveals, against d: all of them"
              " if answers are echoed, less than two if the string is fixed.",
              "<b>What one rollout tells.</b> A fixed string follows a random"
              " word for <i>t</i> bits with probability 2<sup>−<i>t</i></sup>,"
              " so it is answered 1 + ½ + ¼ + … = 2 − 2<sup>1 − <i>d</i></sup>"
              " bits on average. Marks are measured, on the networks of all"
              " words and for every fixed string, which all reveal the same;"
              " lines are the formulas.",
          ),
          Tabled(
              _networks(found),
              "<b>Networks built by hand.</b> <i>Bits revealed</i> is the mean"
              " over all words of the bits that a fixed string is answered,"
              " <i>information</i> the entropy of the answers.",
              "networks",
          ),
      ],
  )


def _networks(found):
  deepest = max(row["depth"] for row in found)
  rows = [
      [
          Cell(row["cell"], _CELLS.__getitem__),
          Cell(row["depth"], text.count),
          Cell(row["networks"], text.count),
          Cell(row["wrong"], text.count),
          Cell(row["echoed"], text.count),
          Cell(row["bits"]["most"], _bits),
          Cell(row["bits"]["information"], _bits),
          Cell(row["bits"]["closed_form"], _bits),
      ]
      for row in found
      if row["depth"] in (2, deepest // 2, deepest)
  ]
  return Table(
      ("cell", "d", "networks", "wrong answers", "read by echo",
       "bits revealed", "information", "2 − 2^(1 − d)"),
      ("cell", "depth", "networks", "wrong", "echoed", "bits", "information",
       "closed_form"),
      rows,
      labels=2,
  )  # fmt: skip


def _bits(value):
  return text.number(value, 4)


def _learning(found):
  config = found["config"]
  accuracies = [
      one["accuracy"]["moved"] for one in found["networks"].values()
  ]
  return Section(
      "Learned: encoders that interrogate",
      [
          f"<p>Now the interrogators are trained. For each depth,"
          f" {text.count(config['networks'])} networks of random words were"
          " built, less steep than above so that gradients pass through them;"
          " noise was added to all weights, and hidden units were permuted and"
          " changed in sign at random. They still get at least"
          f" {text.percent(min(accuracies), 1)} of strings right. A probing"
          " encoder, with a head for the bits of <i>w</i>, is trained from end"
          f" to end for {text.count(config['steps'])} steps on three quarters"
          f" of them and tested on {text.count(config['tests'])} networks that"
          " it never saw. M strings of <i>d</i> steps cost M · <i>d</i>"
          f" queries; whatever <i>d</i>, these are {config['budget']}, or"
          " <i>d</i> where there is but one string.</p>"
          "<p><i>Interactive probing</i> decodes each question from all answers"
          " so far. Where it is <i>echoing</i>, the network’s last answer is"
          " added to what questions are decoded from: the idea of the theory is"
          " there from the beginning, and only what to make of it is learned."
          " <i>Non-interactive probing</i> learns fixed strings. Of these, M"
          " have at most min(M, 2<sup><i>t</i></sup>) different prefixes of"
          " length <i>t</i>, which bounds both the bits that they are answered"
          " and the share of words that can be told.</p>",
          f"<p>{_found_out(found['arms'])}</p>",
          Picture(
              "learning",
              theory_figures.learning(found),
              "Share of words told, and bits of the word read, against d, for"
              " four kinds of encoders; predictions as lines.",
              "<b>Trained encoders against what counting predicts.</b> Large"
              " marks are means over seeds, with 95 % intervals over words;"
              " small ones are single seeds. Lines are predictions: all of the"
              " word for an interactive interrogator, the best fixed strings"
              " for a non-interactive one. Bits are a lower bound on what the"
              " code tells, <i>d</i> minus the surprise at the true word. By"
              " chance a mark may lie above its line, since the words of the"
              " test are a sample.",
          ),
          Tabled(
              _arms(found["arms"]),
              "<b>Learned interrogation in numbers,</b> on networks that were"
              f" not trained on. Means over {config['seeds']} seeds, 95 %"
              " intervals over words; they say nothing of other seeds.",
              "learning",
          ),
          Tabled(
              _arms(found["unseen"], predicted=False),
              "<b>Words that no network of training had,</b> an eighth of all."
              " An interrogator that reads each bit for itself can tell them;"
              " one that must guess guesses words that it knows.",
              "unseen",
          ),
      ],
  )


def _found_out(arms):
  """How many of the interactive encoders learned to interrogate."""
  said = []
  for name, what in (
      ("interactive, echoing", "that begin with echoing"),
      ("interactive", "that must discover it"),
  ):
    seeds = [
        share
        for arm in arms
        if arm["arm"] == name
        for share in arm["accuracy"]["seeds"]
    ]
    good = sum(share > 0.95 for share in seeds)
    if seeds:
      said.append(f"by {good} of {len(seeds)} encoders {what}")
  if not said:
    return ""
  return (
      f"More than 95 % of the words are told {', and '.join(said)}."
      " The small marks, single seeds, show how far apart trainings of an"
      " interactive encoder end: it follows the answers, or never finds out"
      " that it should."
  )


def _arms(arms, predicted=True):
  rows = []
  for arm in sorted(arms, key=lambda arm: theory_figures.ARMS[arm["arm"]]):
    row = [
        Cell(arm["arm"]),
        Cell(arm["depth"], text.count),
        Cell(arm["parallel"], text.count),
    ]
    for measure, write in (
        ("accuracy", text.precise_percent), ("bits", _two_digits),
    ):  # fmt: skip
      row.append(Cell(arm[measure], write))
      if predicted:
        row.append(Cell(arm["predicted"][measure], write))
    rows.append(row)
  span = 2 if predicted else 1
  titles, keys = ("encoder", "d", "M"), ("encoder", "depth", "parallel")
  for measure in ("accuracy", "bits"):
    titles += ("measured", "predicted")[:span]
    keys += (measure, f"predicted_{measure}")[:span]
  return Table(
      titles,
      keys,
      rows,
      labels=2,
      groups=(("", 3), ("words told", span), ("bits of the word", span)),
  )


def _two_digits(value):
  return text.number(value, 2)
