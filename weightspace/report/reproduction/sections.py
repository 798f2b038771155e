"""The sections of a reproduction's page, in order."""

from collections.abc import Iterator, Mapping
from typing import Any

from weightspace.report import figures as single_figures
from weightspace.report import sections as single
from weightspace.report import text
from weightspace.report.reproduction import (
  code_figures,
  figures,
  scatter,
  tables,
  words,
)
from weightspace.report.sections import (
  Picture,
  Section,
  Tabled,
  file_name,
)

_COARSE = 110  # dots an inch: hundreds of points a panel, many panels
_INTERVALS = "with 95 % intervals, over seeds, below"


def make(
    results: Mapping[str, Any], interrogations: Mapping[str, Any]
) -> Iterator[Section]:
  """The sections that the results have something for."""
  for section in single.made(results):
    yield section._replace(title="What was run")
  for part, title, introduction, of_family in (
      ("zoos", "The zoos", "", _zoo),
      ("emulation", "Emulation", _EMULATION, _emulation),
      ("prediction", "What codes tell", _PREDICTION, _prediction),
      ("clones", "Clones", _CLONES, _clones),
  ):
    yield from _section(results, part, title, introduction, of_family)

  def codes(family, found):
    return _codes(family, found, interrogations.get(family))

  def ablations(family, found):
    loss = results.get("emulation", {}).get(family, {}).get("divergence")
    return _ablations(family, found, loss)

  yield from _section(results, "codes", "Code space", _CODES, codes)
  yield from _section(
      results, "ablations", "How much to ask", _ABLATIONS, ablations
  )
  yield from _section(
      results, "remedies", "A steadier interrogator", _REMEDIES,
      lambda family, found: _remedies(results, family, found),
  )
  yield from _section(results, "labels", "Few labels", _LABELS, _labels)
  yield from _kept(results)
  yield from _search(results)
  if "runs" in results:
    yield _runs(results["runs"])


def _section(results, part, title, introduction, of_family):
  blocks: list[Any] = []
  for family in words.ordered(results.get(part, {})):
    found = list(of_family(family, results[part][family]))
    if found:
      blocks += [_heading(family), *found]
  if blocks:
    opening = [f"<p>{introduction}</p>"] if introduction else []
    yield Section(title, opening + blocks)


def _heading(family):
  return f"<h3>{text.escape(words.family(family))}</h3>"


def _zoo(family, zoo):
  zoo = {**zoo, "family": family}
  view = {"zoo": zoo} | ({"splits": zoo["splits"]} if "splits" in zoo else {})
  for block in single.networks(view):
    if isinstance(block, Picture):
      block = block._replace(name=f"zoo-{file_name(family)}")
    if isinstance(block, Tabled):
      block = block._replace(name=f"splits-{file_name(family)}")
    yield block
  if zoo.get("commit"):
    yield (
        "<p>This zoo was trained at commit"
        f" <code>{text.escape(str(zoo['commit'])[:12])}</code>.</p>"
    )


_EMULATION = (
    "Encoder and emulator are trained together: the emulator sees the code and"
    " the inputs of a rollout, and must give the probabilities that the network"
    " gave. The <i>constant code</i>, the same for every network, is the"
    " baseline. OOD are networks of tasks that were held out. The paper’s"
    " numbers stand beside; they are of other networks, longer training and"
    " intervals over 15 seeds, and so on another scale."
)


def _emulation(family, found):
  name = file_name(family)
  divergence = text.escape(text.divergence(found["divergence"]))
  if "encoders" in found:
    view = {"emulation": found, "zoo": {"family": family}}
    yield Picture(
        f"emulation-{name}",
        single_figures.emulation_losses(view),
        f"{text.divergence(found['divergence'])} of each encoder on validation"
        " and held-out tasks with 95 % intervals; the numbers are in the table"
        " below.",
        f"<b>How well codes let an emulator imitate.</b> The {divergence}, less"
        f" is better. {_ranking(found)}",
    )
  yield Tabled(
      tables.emulation(found),
      f"<b>Emulation in numbers,</b> {_INTERVALS}. Table 2 of the paper.",
      f"emulation-{name}",
  )


def _ranking(found):
  """Which encoder is best, and whether intervals set it apart."""
  cells = {
      name: one["validation"].get(found["divergence"])
      for name, one in found["encoders"].items()
  }
  known = sorted(
      (
          (cell["value"], name)
          for name, cell in cells.items()
          if cell and text.is_number(cell["value"])
      ),
  )
  if len(known) < 2:
    return ""
  (_, best), (_, second) = known[:2]
  first, other = cells[best], cells[second]
  apart = (
      text.is_number(first["high"])
      and text.is_number(other["low"])
      and first["high"] < other["low"]
  )
  return (
      f"On validation tasks {text.escape(text.encoder(best))} is best; its"
      f" interval {'lies below' if apart else 'overlaps'} that of"
      f" {text.escape(text.encoder(second))}, the next."
  )


_PREDICTION = (
    "<i>Frozen</i>: encoders are pretrained by emulation and left as they are;"
    " a small head learns to tell a property from the code. <i>Supervised</i>:"
    " encoder and head are trained from end to end on the labels alone. Either"
    " way under two protocols: heads see no OOD task at all, or, as in the"
    " paper, half of the OOD tasks join their training. The test is always the"
    " half that nobody saw."
)


def _prediction(family, found):
  name, said = file_name(family), words.of(family)
  ways = [way for way in words.WAYS if way in found]
  if not ways:
    return
  yield Picture(
      f"prediction-{name}",
      figures.prediction(found, said.task),
      "Headline metric of each property by encoder, from frozen codes and"
      " supervised, on the OOD test under both protocols; the numbers are in"
      " the tables below.",
      "<b>Properties on the OOD test.</b> Filled: frozen codes; hollow:"
      f" supervised from end to end. {said.chance}",
  )
  for way in ways:
    yield Tabled(
        tables.prediction(found[way], said.task, headlines=True),
        f"<b>From {words.WAYS[way]}"
        f"{'' if way == 'frozen' else ' encoders'},</b> {_INTERVALS}. R² is 0"
        " for always predicting the mean, 1 is perfect. The CSV file has all"
        " metrics.",
        f"prediction-{way}-{name}",
        tables.prediction(found[way], said.task, headlines=False),
    )


_CLONES = (
    "A clone is the emulator with the code of one network: left alone, it does"
    " the network’s task as well, or as badly, as it learned from the code. Its"
    " accuracy against the original’s shows whether codes tell good networks"
    " from bad ones. Figure 5 of the paper."
)


def _clones(family, found):
  said, name = words.of(family), file_name(family)
  yield Picture(
      f"clones-{name}",
      figures.clones(found, said.accuracy),
      f"{said.accuracy} of clones against that of originals, a panel for each"
      " of " + ", ".join(text.encoder(n) for n in text.ordered(found)) + ".",
      "<b>Clones and originals.</b> Filled circles: validation"
      f" {said.tasks}; hollow triangles: held-out ones. On the line, a clone is"
      " as good as its original. <i>r</i> is the correlation, with its 95 %"
      " interval; points are those of one run.",
  )
  yield Tabled(
      tables.clones(found),
      f"<b>Clones in numbers,</b> {_INTERVALS}.",
      f"clones-{name}",
  )


_CODES = (
    "Each point is the code of one snapshot in two dimensions: along the two"
    " directions in which codes differ most (PCA), or laid out so that"
    " neighbours stay neighbours (t\N{NON-BREAKING HYPHEN}SNE). Beside codes,"
    " the raw weights. Nobody told the encoders what points are coloured by."
    " Figures 6 and 7 of the paper."
)


def _codes(family, found, interrogation):
  if "pictures" not in found:
    return
  said, name = words.of(family), file_name(family)
  asked = (
      " Choose one, by a click, a tap or Enter, to see how it was interrogated."
      if interrogation
      else ""
  )
  yield (
      '<p class="explore">Point at a network to be told whose code it is; it is'
      f" ringed in both pictures.{asked} Arrow keys go from point to point.</p>"
  )
  yield scatter.widget(family, found, interrogation)
  yield '<div class="static">'
  for projection, title in code_figures.PROJECTIONS.items():
    groups = code_figures.groups(found["pictures"], projection)
    for i, group in enumerate(groups, 1):
      listed = ", ".join(map(words.source, group))
      yield Picture(
          f"codes-{projection}-{i}-{name}",
          code_figures.codes(family, found, projection, group),
          f"{title} of {listed}, coloured by {said.task} and accuracy.",
          f"<b>{title} of codes, and of raw weights.</b> A column an encoder, a"
          " row a colouring. Outlined triangles are networks of held-out"
          f" {said.tasks}. {said.untrained}",
          dpi=_COARSE,
      )
  yield "</div>"


_ABLATIONS = (
    "Probing encoders ask M sequences in parallel, of L steps each. Here one of"
    " the two is varied while the other stays as it is."
)


def _ablations(family, found, divergence):
  name = file_name(family)
  loss = text.divergence(divergence) if divergence else "loss"
  yield Picture(
      f"ablations-{name}",
      figures.ablations(found, loss[0].upper() + loss[1:]),
      "Validation loss against the number and the length of probing"
      " sequences, for "
      + " and ".join(text.encoder(n) for n in text.ordered(found))
      + ".",
      "<b>More sequences, longer sequences.</b> Lines are means over seeds,"
      " bands and bars 95 % intervals; less is better.",
  )
  for what, title in (
      ("parallel", "Sequences in parallel"), ("length", "Length of a sequence"),
  ):  # fmt: skip
    if any(what in one for one in found.values()):
      yield Tabled(
          tables.ablations(found, what),
          f"<b>{title}: validation loss,</b> {_INTERVALS}.",
          f"ablations-{what}-{name}",
      )


_REMEDIES = (
    "The paper’s interactive probing trains unsteadily: its seeds end far"
    " apart. Here is what may help, one thing at a time; a slower warm-up is"
    " among the trials of the search."
)


def _remedies(results, family, found):
  encoder = next(iter(found.values()))["encoder"]
  trained = results.get("emulation", {}).get(family, {})
  plain = trained.get("encoders", {}).get(encoder, {}).get("validation", {})
  yield Tabled(
      tables.remedies(found, plain.get(trained.get("divergence"))),
      f"<b>{text.encoder(encoder).capitalize()}, validation loss,</b>"
      f" {_INTERVALS}.",
      f"remedies-{file_name(family)}",
  )


_LABELS = (
    "Pretraining by emulation needs no labels. Does it pay where labels are"
    " few? The same property is learned from more and more labelled networks,"
    " with an encoder that was pretrained and with one that was not. The claim"
    " that is tested: pretraining is better by at least"
    f" {figures.CLAIM} %, relatively."
)


def _labels(family, found):
  if "properties" not in found:
    return
  name, verdicts = file_name(family), list(_verdicts(found))
  yield Picture(
      f"labels-{name}",
      figures.labels(found),
      "What each arm reaches against the number of labelled networks, and the"
      " relative improvement by pretraining; the numbers are in the table"
      " below.",
      "<b>Label efficiency.</b> Above: lines are means over seeds, bands and"
      " bars 95 % intervals. Below: the relative improvement in per cent, and"
      f" the {figures.CLAIM} % that are claimed, dashed. {' '.join(verdicts)}",
  )
  yield Tabled(
      tables.labels(found),
      f"<b>Few labels in numbers,</b> {_INTERVALS}.",
      f"labels-{name}",
  )


def _verdicts(found):
  """Where the claimed improvement is seen, property by property."""
  for name, one in found["properties"].items():
    if "improvement" not in one:
      continue
    cells = list(zip(found["networks"], one["improvement"]["per_cent"]))
    measured = [(n, c) for n, c in cells if c and text.is_number(c["value"])]
    clear = [
        text.count(n)
        for n, c in measured
        if text.is_number(c["low"]) and c["low"] >= figures.CLAIM
    ]
    close = [text.count(n) for n, c in measured if c["value"] >= figures.CLAIM]
    close = [n for n in close if n not in clear]
    said = []
    if clear:
      said.append(f"holds, with the whole interval, at {', '.join(clear)}")
    if close:
      said.append(f"holds for the mean alone at {', '.join(close)}")
    if not said:
      said = ["is seen at no number of labels" if measured else "is not tested"]
    gained = one["improvement"]
    yield (
        f"{text.escape(words.property_(name)).capitalize()}: the claim, for"
        f" {text.escape(words.arm(gained['of']))} over"
        f" {text.escape(words.arm(gained['over']))}, {'; it '.join(said)}"
        + (f" ({text.escape(found['unit'])})." if clear or close else ".")
    )


_KEPT = (
    "Hidden units can be permuted, and those of tanh-gated cells negated,"
    " without any change in what a network does. A code that tells what it does"
    " should not move. Distances are in mean distances of two networks’ codes:"
    " 0 is invariance, at 1 (dashed) an equivalent network is as far as any"
    " other. And networks that do the same should have codes that are near."
)


def _kept(results):
  drift, near = results.get("invariance", {}), results.get("neighbours", {})
  blocks: list[Any] = []
  for family in words.ordered({**drift, **near}):
    name, said = file_name(family), words.of(family)
    blocks += [
        _heading(family),
        Picture(
            f"kept-{name}",
            figures.kept(drift.get(family), near.get(family)),
            "How far codes move under symmetries, and what the nearest codes"
            " have in common; the numbers are in the tables below.",
            "<b>What codes keep.</b> "
            + (
                "Distance of a network’s code from that of an equivalent"
                " network. "
                if family in drift
                else ""
            )
            + (
                f"What a network and those of the nearest codes have in common"
                f" as to the {said.task}."
                if family in near
                else ""
            ),
        ),
    ]
    if family in drift:
      blocks.append(
          Tabled(
              tables.invariance(drift[family]),
              f"<b>Drift under symmetries,</b> {_INTERVALS}.",
              f"invariance-{name}",
          )
      )
    for measure, title in (
        ("precision", f"Share of the k nearest with the same {said.task}"),
        ("degrees", "Mean angle between a network and its k nearest"),
    ):
      if any(measure in one for one in near.get(family, {}).values()):
        blocks.append(
            Tabled(
                tables.neighbours(near[family], measure),
                f"<b>{title},</b> {_INTERVALS}.",
                f"neighbours-{measure}-{name}",
            )
        )
  if blocks:
    yield Section("What the code keeps", [f"<p>{_KEPT}</p>", *blocks])


def _search(results):
  found = results.get("search", {})
  if not found:
    return
  blocks: list[Any] = [
      "<p>Every encoder of a zoo had the same trials: each learning rate with"
      " each warm-up, a share of the steps; each learning rate of heads with"
      " each number of hidden layers. The choice is the trial with the least"
      " validation loss; no test was looked at.</p>"
  ]
  for family in words.ordered({f for kind in found.values() for f in kind}):
    blocks.append(_heading(family))
    for kind, families in found.items():
      if family in families:
        blocks += _trials(family, kind, families[family])
  yield Section("Hyper-parameter search", blocks)


def _trials(family, kind, found):
  name = f"search-{file_name(kind)}-{file_name(family)}"
  said = words.search(kind)
  if kind in words.TRAININGS:
    yield Picture(
        name,
        figures.search(found["encoders"]),
        f"Validation losses of all trials of each encoder, {said}, the chosen"
        " one ringed; the numbers are in the table below.",
        f"<b>All trials, {text.escape(said)},"
        f" {text.count(found['steps'])} steps each.</b> How far they lie apart"
        " tells how much an encoder depends on the choice.",
    )
  yield Tabled(
      tables.search(found["encoders"]),
      f"<b>All trials in numbers, {text.escape(said)},"
      f" {text.count(found['steps'])} steps each.</b>",
      name,
      long=True,
  )


def _runs(found):
  return Section(
      "Appendix: all runs",
      [
          Tabled(
              tables.runs(found, exact=False),
              f"<b>{text.count(len(found))} trainings.</b> Cells of the tables"
              " above name those that they come from; the CSV files have them"
              " in columns that end in <code>_runs</code>.",
              "runs",
              tables.runs(found, exact=True),
              long=True,
          )
      ],
  )
