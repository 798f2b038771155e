"""The page of the theory's experiment: results -> HTML."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.theory import page_tables, plots
from weightspace.report import page, text
from weightspace.report.page import Picture, Section, Tabled

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
    results: of `run.run`: "exact", "built", "learning".
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
  yield from page.made(results)


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
      *_best_accuracies(results["learning"]["arms"]),
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


def _best_accuracies(arms):
  """Accuracies at the greatest depth, with and without interaction."""
  depth = max(arm["depth"] for arm in arms)
  deepest = {arm["arm"]: arm for arm in arms if arm["depth"] == depth}
  if not {"interactive, echoing", "non-interactive"} <= set(deepest):
    return
  best, fixed = deepest["interactive, echoing"], deepest["non-interactive"]
  yield (
      f"{text.percent(best['accuracy']['value'])} :"
      f" {text.percent(fixed['accuracy']['value'])}",
      f"of paths of {depth} bits identified by trained encoders, with"
      f" {best['queries']} queries each; counting allows"
      f" {text.percent(fixed['predicted']['accuracy'])} without interaction",
  )


def _exact(exact):
  formulas = "".join(
      f"<li>{name}: {formula}</li>" for name, formula in _FORMULAS.items()
  )
  sizes = [f"{text.count(one[-1]['functions'])} {name}"
           for name, one in exact["families"].items()]  # fmt: skip
  wrong = sum(
      row[kind] != row["closed_form"][kind]
      for one in exact["families"].values()
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
              plots.exact(exact["families"]),
              "Queries that are needed, against the number of functions, for"
              " points, thresholds and secret paths.",
              "<b>Fewest queries in the worst case.</b> Marks are solved, lines"
              " are closed forms, both axes are logarithmic. Nothing helps with"
              " points: all but one must be queried. Thresholds fall to"
              " binary search. Secret paths are walked in <i>d</i> = log₂"
              " |<i>D</i>| steps, but only one query distinguishes two words"
              " that differ in their last bit alone, so that |<i>D</i>| / 2"
              " queries have to be fixed. The dashed line is |<i>D</i>| − 1,"
              " which no family exceeds.",
          ),
          Tabled(
              page_tables.costs(exact["every"]),
              "<b>Every family there is of a few functions,</b> up to what"
              " answers are called and queries that repeat. All are solved; how"
              " many need how many queries. None needs more than |<i>D</i>| −"
              " 1, and interaction never costs.",
              "every-family",
          ),
      ],
  )


def _built(rows):
  networks = sum(row["networks"] for row in rows)
  answers = sum(row["answers"] for row in rows)
  wrong = sum(row["wrong"] for row in rows)
  echoed = sum(row["echoed"] for row in rows)
  cells = dict.fromkeys(page_tables.CELLS[row["cell"]] for row in rows)
  return Section(
      "Built: a recurrent network for every secret path",
      [
          "<p>A network of <i>d</i> + 1 units computes <i>f<sub>w</sub></i>:"
          " it answers the next bit of <i>w</i> as long as what it has read"
          " follows <i>w</i>, and OFF from then on. Its weights are given in"
          " closed form. One unit is a clock that starts the walk, the others"
          " each wait for one bit, and all saturate. For each cell"
          f" ({', '.join(cells)}), {text.count(networks)} networks in all read"
          f" every string: of {text.count(answers)} answers"
          f" {text.count(wrong)} were wrong. Echoing each answer back as the"
          f" next question read the word of {text.count(echoed)} of them in"
          " <i>d</i> steps.</p>",
          Picture(
              "revealed",
              plots.revealed(rows),
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
              page_tables.networks(rows),
              "<b>Networks built by hand.</b> <i>Bits revealed</i> is the mean"
              " over all words of the bits that a fixed string is answered,"
              " <i>information</i> the entropy of the answers.",
              "networks",
          ),
      ],
  )


def _learning(learned):
  config = learned["config"]
  accuracies = [
      one["accuracy"]["moved"] for one in learned["networks"].values()
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
          " and the share of words that can be identified.</p>",
          f"<p>{_share_of_seeds(learned['arms'])}</p>",
          Picture(
              "learning",
              plots.learning(learned),
              "Share of words identified, and bits of the word read, against"
              " d, for four kinds of encoders; predictions as lines.",
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
              page_tables.learning(learned["arms"]),
              "<b>Learned interrogation in numbers,</b> on networks that were"
              f" not trained on. Means over {config['seeds']} seeds, 95 %"
              " intervals over words; they say nothing of other seeds.",
              "learning",
          ),
          Tabled(
              page_tables.learning(learned["unseen"], predicted=False),
              "<b>Words that no network of training had,</b> an eighth of all."
              " An interrogator that reads each bit for itself can tell them;"
              " one that must guess guesses words that it knows.",
              "unseen",
          ),
      ],
  )


def _share_of_seeds(arms):
  """How many of the interactive encoders learned to interrogate, in words."""
  shares = []
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
      shares.append(f"by {good} of {len(seeds)} encoders {what}")
  if not shares:
    return ""
  return (
      f"More than 95 % of the words are identified {', and '.join(shares)}."
      " The small marks, single seeds, show how far apart trainings of an"
      " interactive encoder end: it follows the answers, or never finds out"
      " that it should."
  )


