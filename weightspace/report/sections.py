"""The sections of the page: what is said, in which order, with what to see."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightspace.report import figures, tables, text, wording

if TYPE_CHECKING:
  from matplotlib.figure import Figure

_CELLS = {"lstm": "LSTM", "gru": "GRU", "elman": "Elman network"}


class Hover(NamedTuple):
  """What to say where somebody points at a picture."""

  points: np.ndarray  # [R, 2] in data coordinates
  words: list[str]


class Picture(NamedTuple):
  """A figure, its file's name, what it shows, and how to read it (HTML)."""

  name: str
  figure: "Figure"
  alt: str
  caption: str
  hover: Hover | None = None
  dpi: int = 200


class Tabled(NamedTuple):
  """A table, how to read it (HTML), and the CSV file's name, if any.

  The file holds `exact` where that is given: more than readers are shown.
  A long table is shown in a box of limited height.
  """

  table: tables.Table
  caption: str
  name: str = ""
  exact: tables.Table | None = None
  long: bool = False


class Raw(NamedTuple):
  """HTML that stands in the page as it is."""

  html: str


class Section(NamedTuple):
  """A title and what stands under it: HTML, pictures and tables."""

  title: str
  blocks: list[str | Picture | Tabled | Raw]


def make(results: Mapping[str, Any]) -> Iterator[Section]:
  """The sections that the results have something for, in order."""
  if "codes" in results:
    yield _codes(results)
  if "zoo" in results:
    yield Section("The networks", networks(results))
  if "emulation" in results:
    yield _emulation(results)
  if "prediction" in results:
    yield _prediction(results)
  if results.get("transcripts"):
    yield _transcripts(results)
  if "note" in results:
    yield Section(
        "What it takes to get the paper’s numbers",
        [f"<p>{text.escape(results['note'])}</p>"],
    )
  yield from made(results)


def summary(results: Mapping[str, Any]) -> str:
  """What happened in a few sentences and a few numbers."""
  said, facts = [], []
  zoo, emulation = results.get("zoo"), results.get("emulation")
  words = wording.of(results)
  if zoo:
    trained_on = words.trained_on.format(count=text.count(zoo["tasks"]))
    shapes = text.escape("; ".join(map(_network, zoo["shapes"])))
    said.append(
        f"{text.count(zoo['networks'])} small recurrent networks"
        f" ({shapes}) were each trained on {trained_on}."
    )
    facts.append((
        text.percent(_median(zoo["final_accuracy"])),
        f"{words.accuracy} of the median network at the end of its training",
    ))
  if emulation:
    said.append(
        "Encoders then learned to sum up the weights of a network in a short"
        " vector, its code. A code is good if another network, the emulator,"
        " can imitate the network from the code alone."
    )
    gains = _gains(emulation)
    if gains:
      name, gain = gains[0]
      said.append(_verdict(gains, emulation, words))
      facts.append((
          text.percent(gain["value"]),
          "of the emulation loss removed by"
          f" {text.escape(text.encoder(name))} on held-out {words.tasks} (95 %"
          f" interval {_between(gain)})",
      ))
  if told := _told(results, "task", "per_count_accuracy"):
    name, estimate = max(told, key=lambda item: item[1]["value"])
    facts.append((
        text.percent(estimate["value"]),
        "of the counts of held-out languages read off the codes of trained"
        f" networks by {text.escape(text.encoder(name))} (95 % interval"
        f" {_between(estimate)}; blind guessing: 17 %)",
    ))
  if told := _told(results, "angle", "degrees"):
    name, estimate = min(told, key=lambda item: item[1]["value"])
    facts.append((
        text.degrees(estimate["value"]),
        "mean error of held-out angles read off the codes of"
        f" {text.escape(text.encoder(name))} (95 % interval"
        f" {_between(estimate, text.degrees)}; blind guessing: 90°)",
    ))
  lead = f'<p class="lead">{" ".join(said)}</p>' if said else ""
  listed = "".join(
      f"<div><dt>{words}</dt><dd>{text.escape(value)}</dd></div>"
      for value, words in facts
  )
  return lead + (f'\n<dl class="facts">{listed}</dl>' if facts else "")


def _network(shape):
  hidden = shape["hidden"]
  layers = f"{len(hidden)} layer{'s' if len(hidden) > 1 else ''}"
  widths = " and ".join(map(str, dict.fromkeys(hidden)))
  cell = _CELLS.get(shape["cell"], shape["cell"])
  return (
      f"{cell}, {layers} of {widths} units,"
      f" {text.count(shape['parameters'])} weights"
  )


def _gains(emulation):
  """What each encoder gains on held-out tasks, the best first."""
  gains = [
      (name, one["gain"]["ood"])
      for name, one in emulation["encoders"].items()
      if "ood" in one.get("gain", {}) and name != "truth"
  ]
  return sorted(gains, key=lambda item: -item[1]["value"])


def _verdict(gains, emulation, words):
  name, best = gains[0]
  encoder = text.escape(text.encoder(name))
  if best["low"] <= 0:
    return (
        f"On {words.tasks} that were held out, codes of {encoder} do not"
        " clearly beat a code that is the same for all networks."
    )
  bound = emulation["encoders"].get("truth", {}).get("gain", {}).get("ood")
  told = ""
  if bound:
    told = (
        " An emulator that is given the truth about each network instead of a"
        f" code removes {text.percent(bound['value'])}."
    )
  others = "".join(
      f", those of {text.escape(text.encoder(other))}"
      f" {text.percent(gain['value'])}"
      for other, gain in gains[1:]
  )
  return (
      f"On {words.tasks} that were held out, codes of {encoder} remove"
      f" <b>{text.percent(best['value'])}</b> of the loss that is left when"
      f" every network gets the same code{others}.{told}"
  )


def _told(results, property_, measure):
  """What heads that saw no held-out task tell of these: encoder, estimate.

  Of networks at the end of their training, where that is known apart.
  """
  found = []
  for name, by_property in results.get("prediction", {"encoders": {}})[
      "encoders"
  ].items():
    strict = by_property.get(property_, {}).get("strict", {})
    report = tables.final(strict) or strict
    if measure in report.get("test", {}):
      found.append((name, report["test"][measure]))
  return found


def _between(estimate, write=text.percent):
  ends = text.between(estimate["low"], estimate["high"], write)
  return f'<span class="whole">{ends}</span>'


def _median(values):
  known = [v for v in values if text.is_number(v)]
  return float(np.median(known)) if known else None


def networks(results: Mapping[str, Any]) -> list[str | Picture | Tabled | Raw]:
  """What is said of a zoo and, if they are known, its splits."""
  zoo, words = results["zoo"], wording.of(results)
  blocks: list[Any] = [
      f"<p>{words.introduction} A network’s weights are kept"
      f" at {len(zoo['steps'])} points of its training, which makes"
      f" {text.count(zoo['rows'])} snapshots to learn from.</p>",
      Picture(
          "zoo",
          figures.zoo(results),
          "Accuracy and loss of the networks during training, and a histogram"
          " of their final accuracy.",
          "<b>How the networks learned.</b> Lines are medians over all"
          f" networks, bands hold the middle 80 %. {words.measured} Right: the"
          " final networks." + _diverged(zoo),
      ),
  ]
  if "splits" in results:
    blocks.append(
        Tabled(
            tables.splits(results),
            f"No {words.task} is in two splits. {words.held_out}",
        )
    )
  return blocks


def _diverged(zoo):
  diverged = zoo.get("diverged")
  if diverged is None:
    return ""
  if diverged == 0:
    return " None of them diverged."
  return f" {text.count(diverged)} diverged, and are kept and marked."


def _emulation(results):
  found, words = results["emulation"], wording.of(results)
  names = text.ordered(found["encoders"])
  known = [text.escape(text.encoder(name)) for name in names]
  divergence = text.escape(text.divergence(found["divergence"]))
  blocks: list[Any] = [
      "<p>Encoder and emulator are trained together. The encoder turns the"
      " weights of a network into a code; the emulator sees the code and"
      f" {words.heard}, and must give the probabilities that"
      f" the network gave at every step. The loss is the {divergence} between"
      " the two"
      + (
          ": 0 if they are the same, 1 if they have nothing in common"
          if found["divergence"] == "total_variation"
          else ""
      )
      + ".</p>",
      "<p>"
      + " ".join(text.DESCRIPTIONS[n] for n in names if n in text.DESCRIPTIONS)
      + "</p>",
  ]
  if any(
      "curve" in one or "validation_curve" in one
      for one in found["encoders"].values()
  ):
    blocks.append(
        Picture(
            "emulation-training",
            figures.emulation_curves(results),
            f"Emulation loss during training of {', '.join(known)}.",
            "<b>Learning to emulate.</b> The further a line lies below that of"
            " the constant code, the more the codes tell of each network."
            " Higher losses, of the first steps, are cut off.",
        )
    )
  blocks += [
      Picture(
          "emulation",
          figures.emulation_losses(results),
          f"Emulation loss of {', '.join(known)} with 95 % intervals; the"
          " numbers are in the table below.",
          "<b>How well the emulator imitates.</b> Bars are 95 % intervals,"
          f" from drawing whole {words.tasks} with replacement; they say"
          " nothing of other random seeds. "
          + (
              "The paper’s values, on grey, are for larger networks and much"
              " longer training, with intervals over 15 seeds: they show"
              " where this leads, not what to expect of this run."
              if found.get("paper")
              else ""
          ),
      ),
      Tabled(
          tables.emulation(results),
          "<b>Emulation in numbers,</b> with 95 % intervals below. Less loss"
          " is better. <i>Loss removed</i> is the share of the constant code’s"
          " loss that an encoder does away with: at 0 % it is no better than"
          " the constant code, at 100 % emulation is perfect."
          + _paper_note(found),
          "emulation",
      ),
  ]
  return Section("Codes from emulation", blocks)


def _paper_note(found):
  if not found.get("paper"):
    return ""
  return (
      " The paper’s column is its total variation distance for 1000 networks"
      " of two layers of 32 units, after 100,000 steps."
  )


def _codes(results):
  rows, words = results["rows"], wording.of(results)
  languages = rows.get("language", rows["task"])
  spoken = [
      f"{text.language_plain(language)}\naccuracy {text.percent(accuracy)},"
      f" step {step}\n{text.SPLITS.get(split, split)}"
      for language, accuracy, step, split in zip(
          languages, rows["accuracy"], rows["step"], rows["split"]
      )
  ]
  blocks: list[Any] = [
      "<p>Each point is the code of one network at the end of its training,"
      " seen along the two"
      " directions in which codes differ most (principal components). All"
      f" panels show the same points. Nobody told the encoder {words.uncoded}:"
      " colours that keep together were found by learning to emulate.</p>"
  ]
  for encoder in text.ordered(results["codes"])[::-1]:
    name = text.escape(text.encoder(encoder))
    points = np.asarray(results["codes"][encoder]["pca"], float)
    blocks.append(
        Picture(
            f"codes-{file_name(encoder)}",
            figures.codes(results, encoder),
            f"Principal components of the codes of {text.encoder(encoder)},"
            f" coloured by {words.task}, accuracy, training step and split.",
            f"<b>Codes of {name}.</b> Points without an outline are"
            f" {words.tasks} of training and validation; outlined ones are held"
            " out.",
            Hover(points.reshape(-1, 2), spoken),
        )
    )
  return Section("What the codes look like", blocks)


def _prediction(results):
  words = wording.of(results)
  blocks: list[Any] = [
      "<p>With the encoders frozen, small heads are trained to tell from a"
      f" code alone {words.predicted}. When to stop is decided on"
      f" validation {words.tasks}; the test is looked at once.</p>",
      Tabled(
          tables.prediction(results),
          "<b>Properties from codes,</b> with 95 % intervals below, over"
          f" {words.tasks}: of networks at the end of their training, and of"
          " all snapshots. Both times the test is the half of the OOD"
          f" {words.tasks} that no head saw. {words.chance} R² is 0 for always"
          " predicting the mean of the networks that are measured, 1 is"
          " perfect; the accuracy of final networks hardly varies, so that"
          " errors of some percentage points make it negative;"
          " Kendall’s τ is 1 if the order is right.",
          "prediction",
      ),
  ]
  if "scatter" in results["prediction"]:
    name = results["prediction"]["scatter"].get("encoder", "")
    blocks.append(
        Picture(
            "accuracy",
            figures.accuracy(results),
            "Predicted against actual accuracy of networks of held-out"
            f" {words.tasks}, and a histogram of the error.",
            "<b>Accuracy, read off the codes of"
            f" {text.escape(text.encoder(name))}.</b> Each point is a snapshot"
            f" of a network whose {words.task} was held out. On the line, the"
            " prediction is right.",
        )
    )
  return Section("What the codes tell", blocks)


def _transcripts(results):
  words = wording.of(results)
  names = {found.get("encoder", "interactive") for found in results[
      "transcripts"
  ]}  # fmt: skip
  blocks: list[Any] = []
  if names - {"listening"}:
    blocks.append(
        "<p>This is how probing gets to know a network. At each step the"
        f" encoder asks: {words.asked} After the last step, the code is read"
        " from the answers.</p>"
    )
  if "listening" in names:
    blocks.append(
        "<p>This is what <i>listening</i> reads: sequences that a network"
        " generates by itself, each symbol drawn from its last answer, and the"
        " probabilities that it answers with. The code is read from their sums"
        " over time.</p>"
    )
  for i, found in enumerate(results["transcripts"]):
    parallel = len(found["probes"][0])
    shown = figures.SHOWN_SEQUENCES
    blocks.append(
        Picture(
            f"interrogation-{i + 1}",
            figures.transcript(found),
            _read_out(found),
            f"{_subject(found, words)} A column is a step; {words.cells}"
            + (
                f" {shown} of {parallel} parallel sequences are shown."
                if parallel > shown
                else ""
            ),
        )
    )
  title = "An interrogation, word for word"
  if names == {"listening"}:
    title = "What a network generates, symbol by symbol"
  return Section(title, blocks)


def _subject(found, words):
  said = "A network"
  if "language" in found:
    language = text.language_html(found["language"])
    said += f' for <span class="language">{language}</span>'
  if "step" in found:
    said += f" after {text.count(found['step'])} steps"
  if "accuracy" in found:
    said += f", {text.percent(found['accuracy'])} {words.accuracy}"
  said = f"<b>{said}.</b>"
  if found.get("sample"):
    said += f" A string it wrote: <code>{text.escape(found['sample'])}</code>."
  return said


def _read_out(found):
  """The likeliest symbols of the first sequence, for who cannot see them."""
  symbols = found["symbols"]

  def spell(steps):
    best = [int(np.argmax(np.asarray(step[0], float))) for step in steps]
    if not symbols:  # tiles were asked, digits answered
      return " ".join(map(str, best))
    return " ".join(str(symbols[b]) if b < len(symbols) else "?" for b in best)

  asked = spell(found["probes"]) if symbols else "tiles"
  return f"Interrogation. Asked: {asked}. Answered: {spell(found['answers'])}."


def made(results: Mapping[str, Any]) -> Iterator[Section]:
  """How the page was made, if that is known: command, commit, times, ..."""
  facts = []
  if "command" in results:
    facts.append(("command", _code(results["command"])))
  if results.get("size"):
    facts.append(("size", text.escape(results["size"])))
  if results.get("commit"):
    facts.append(("commit", _code(str(results["commit"])[:12])))
  if "seed" in results:
    facts.append(("seed", text.escape(results["seed"])))
  if results.get("seconds"):
    times = [
        f"{text.escape(name)} {text.duration(seconds)}"
        for name, seconds in results["seconds"].items()
    ]
    facts.append(("time", ", ".join(times)))
  if results.get("software"):
    versions = [f"{name} {v}" for name, v in results["software"].items()]
    facts.append(("software", text.escape(", ".join(versions))))
  if not facts:
    return
  rows = "".join(
      f'<tr><th scope="row">{name}</th><td>{value}</td></tr>'
      for name, value in facts
  )
  blocks: list[Any] = [
      f'<div class="table made"><table><tbody>{rows}</tbody></table></div>',
      "<p>All figures of this page lie beside it in <code>figures/</code> as"
      " PNG and SVG, its tables in <code>tables/</code> as CSV.</p>",
  ]
  yield Section("How this page was made", blocks)


def _code(words):
  return f"<code>{text.escape(words)}</code>"


def file_name(name: str) -> str:
  """A name as it may be one of a file, and of an element."""
  return "".join(c if c.isalnum() else "-" for c in name)
