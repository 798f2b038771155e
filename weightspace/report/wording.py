"""What a report calls things, for each family of tasks; HTML."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from weightspace.report import text


class Wording(NamedTuple):
  """Words and sentences about one family.

  Attributes:
    task: what one task is called.
    tasks: several.
    trained_on: ends "N networks were each trained on", {count} tasks.
    introduction: what a task is and what networks do.
    accuracy: what the headline metric is called.
    measured: how it is measured, and what the curves are.
    loss_unit: of the losses.
    held_out: which tasks are, and why.
    heard: what the emulator reads, as in "the emulator sees".
    uncoded: what encoders were not told.
    untrained: what is to be said of networks at step 0.
    predicted: what heads are asked for.
    chance: how good blind guesses are.
    asked: how an interrogation goes on.
    cells: what the cells of its picture are.
  """

  task: str
  tasks: str
  trained_on: str
  introduction: str
  accuracy: str
  measured: str
  loss_unit: str
  held_out: str
  heard: str
  uncoded: str
  untrained: str
  predicted: str
  chance: str
  asked: str
  cells: str


_LANGUAGES = 6**3  # that there are; guessing finds one

FORMAL_LANGUAGE = Wording(
    task="language",
    tasks="languages",
    trained_on="one of {count} formal languages",
    introduction=(
        "A language is a rule, such as <span class='language'>"
        + text.language_html("a^n b^(n+1) c^n d^(n-2)")
        + "</span>: some <i>a</i>, one more <i>b</i>, as many <i>c</i> as"
        " <i>a</i>, two fewer <i>d</i>. Languages differ in the three numbers"
        " <i>m<sub>b</sub></i>, <i>m<sub>c</sub></i>, <i>m<sub>d</sub></i> that"
        " are added to <i>n</i>, here +1, 0 and −2. A network reads strings of"
        " its language and predicts each next symbol."
    ),
    accuracy="strict accuracy",
    measured=(
        "To measure accuracy, strings are sampled from the network:"
        " <i>strict</i> accuracy is the share with the right symbols in the"
        " right order, ended once; <i>counts only</i> ignores the order."
    ),
    loss_unit="nats per symbol",
    held_out=(
        "The most unusual languages are held out (OOD, out of distribution),"
        " so that a test on them asks for more than filling gaps."
    ),
    heard="the strings which the network wrote",
    uncoded="which language a network was trained on, or how well it does it",
    untrained=(
        "Networks from before training, step 0, have no language yet."
    ),
    predicted=(
        "which language its network was trained on, as three choices among six,"
        " and its strict accuracy"
    ),
    chance=(
        "Blind guessing gets 17 % of the counts and"
        f" {100 / _LANGUAGES:.1f} % of the languages right; snapshots from"
        " before training, which have no language yet, are among those to be"
        " told."
    ),
    asked=(
        "it feeds the network a mixture of symbols, which it decodes from all"
        " answers so far. The network answers with probabilities of the next"
        " symbol."
    ),
    cells=(
        "the darker a cell, the larger the symbol’s share of the question or"
        " the probability of the answer. The largest is written in."
    ),
)

TILED_MNIST = Wording(
    task="angle",
    tasks="angles",
    trained_on="digits rotated by an angle of their own",
    introduction=(
        "A network reads the image of a handwritten digit piece by piece, 49"
        " tiles of 4 × 4 pixels, row by row, and says after each which digit it"
        " takes it for. Networks differ in the angle by which all their images"
        " are rotated."
    ),
    accuracy="accuracy",
    measured=(
        "Accuracy is the share of images right after the last tile, on images"
        " that no network was trained on. The loss is a mean over all steps,"
        " the first ones included, when nobody can know."
    ),
    loss_unit="nats per step",
    held_out=(
        "The largest angles are held out (OOD, out of distribution), so that a"
        " test on them asks for more than filling gaps."
    ),
    heard="images on which the network was trained",
    uncoded="by which angle a network’s images were rotated, or how well it"
    " reads them",
    untrained=(
        "Networks from before training, step 0, know of no angle yet."
    ),
    predicted=(
        "the angle, as a direction in the plane, the accuracy, the gap between"
        " evaluation and training loss, and after which of its steps a network"
        " was looked at"
    ),
    chance=(
        "An angle guessed blindly is 90° wrong on average; snapshots from"
        " before training, which know of no angle yet, are among those to be"
        " told."
    ),
    asked=(
        "it feeds the network a tile of 4 × 4 pixels, which it decodes from all"
        " answers so far. The network answers with probabilities of the ten"
        " digits."
    ),
    cells=(
        "above the tile that the network is shown, from white for the least"
        " ink to black for the most; below, the darker a cell, the likelier the"
        " network finds that digit. The likeliest is written in."
    ),
)

_OTHER = FORMAL_LANGUAGE._replace(
    task="task",
    tasks="tasks",
    trained_on="one of {count} tasks",
    introduction="",
    accuracy="accuracy",
    measured="",
    loss_unit="nats",
    held_out="The most unusual tasks are held out (OOD).",
    heard="what the network read",
    uncoded="which task a network was trained on, or how well it does it",
    untrained="",
    predicted="what there is to know about its network",
    chance="",
    asked="it feeds the network inputs, which it decodes from all answers.",
    cells="",
)


def of(results: Mapping[str, Any]) -> Wording:
  """The words for the family of tasks that the results are about."""
  family = results.get("zoo", {}).get("family", "formal_language")
  known = {"formal_language": FORMAL_LANGUAGE, "tiled_mnist": TILED_MNIST}
  return known.get(family, _OTHER)
