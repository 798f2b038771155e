"""The space of codes: pictures, neighbours, invariance, interrogations."""

import base64
import functools
from typing import Any

import jax
import numpy as np

from experiments import results
from experiments.study import emulation, measures
from experiments.study import study as study_lib
from experiments.study.study import Study, learned
from weightspace import properties
from weightspace.errors import UserError
from weightspace.evaluation import codes, invariance, neighbours
from weightspace.progress import Progress

WEIGHTS = "weights"
INTERROGATIONS = "interrogations.json"
_SEQUENCES = 4  # of an interrogation are kept, for the page


def jobs(config, family: str) -> list[str]:
  """One for each encoder, and one for the raw weights where asked for."""
  weights = [WEIGHTS] if config["codes"]["weights"] else []
  return [*weights, *learned(config, family)]


def run(study: Study, name: str, progress: Progress) -> dict[str, Any]:
  """Describes the codes of all rows, held out ones too; trains nothing."""
  del progress
  study.note("all", "weights, labels", f"codes {name}")
  settings = study.config["codes"]
  shown, part_of = _shown(study)
  if name == WEIGHTS:
    encoded, runs, pretrained = [_vectors(study)], [], [None]
  else:
    encoded = list(study_lib.load(study.folder("heads", name), "codes"))
    runs = emulation.run_ids(study, name)
    pretrained = emulation.trained(study, name)
  report = {
      "codes": {study.name: {
          "rows": _rows(study, shown, part_of),
          "pictures": {name: {
              **_picture(study, encoded[0][shown]),
              "run": runs[0] if runs else None,
          }},
      }},
  }  # fmt: skip
  if settings["neighbours"]:
    report["neighbours"] = {
        study.name: _neighbours(study, name, encoded, runs)
    }
  if settings["twins"]:
    report["invariance"] = {
        study.name: {name: _invariance(study, runs, pretrained)}
    }
  transcript = name != WEIGHTS and _transcript(study, name, pretrained[0])
  if transcript:
    report["transcripts"] = {study.name: {name: transcript}}
    if settings["interrogations"]:
      _write_interrogations(study, name, pretrained[0], shown, runs)
  return report


def _shown(study):
  """Rows to be drawn, and the split of each."""
  settings = study.config["codes"]
  parts = list(study.split)
  if settings["final"]:
    parts = [study.final(rows) for rows in parts]
  everything = np.concatenate(parts)
  part_of = np.repeat(study.split._fields, [len(rows) for rows in parts])
  generator = np.random.default_rng(study.config["seed"])
  count = min(settings["rows"], len(everything))
  chosen = np.sort(generator.choice(len(everything), count, replace=False))
  return everything[chosen], part_of[chosen]


def _rows(study, shown, part_of):
  columns = study.zoo.columns
  accuracy = {}
  if "accuracy" in study.zoo.spec.metric_names:
    accuracy["accuracy"] = np.round(columns["accuracy"][shown], 4).tolist()
  predicted = _columns(study, shown)
  return {
      "net_id": columns["net_id"][shown].tolist(),
      "step": columns["step"][shown].tolist(),
      "task": columns["task"][shown].tolist(),
      "describe": [
          study.family.describe(task) for task in columns["task"][shown]
      ],
      **accuracy,
      "task_names": list(study.family.spec.task_names),
      **({"columns": predicted} if predicted else {}),
      "split": part_of.tolist(),
  }


def _columns(study, shown):
  """The columns that are predicted, to colour points by."""
  listed = []
  for name in study.config["properties"][study.name]:
    if name.startswith(properties.COLUMN):
      property_ = properties.load(name, study.scope)
      targets = property_.target(study.columns, study.scope)[shown]
      listed.append({
          "name": name,
          "kind": property_.kind,
          "values": measures.listed(
              properties.numbers(property_, targets), properties.known(targets)
          ),
          "classes": list(properties.labels(name, study.scope)[1]),
      })
  return listed


def _vectors(study):
  if len(study.zoo.rnns) > 1:
    raise UserError(
        "weights of networks of several shapes cannot be compared: set"
        " config.codes.weights to False"
    )
  return np.nan_to_num(study.zoo.vectors(np.arange(len(study.zoo))))


def _picture(study, vectors):
  points, share = codes.pca(vectors)
  picture = {
      "pca": np.round(points, 4).tolist(),
      "explained": [float(s) for s in share],
  }
  if perplexity := study.config["codes"]["perplexity"]:
    points = codes.tsne(
        vectors, seed=study.config["seed"], perplexity=perplexity
    )
    picture["tsne"] = np.round(points, 2).tolist()
  return picture


def _neighbours(study, name, encoded, runs):
  columns, rows = study.zoo.columns, np.concatenate(study.split)
  net_ids, its_tasks = columns["net_id"][rows], columns["task"][rows]
  continuous = study.family.spec.classes is None
  ks = study.config["codes"]["neighbours"]

  def table(of_each, runs):
    """`of_each` is [S, n, most neighbours]."""
    return {"degrees" if continuous else "precision": [
        {"k": k, "value": study.mean(of_each[..., :k].mean(-1), rows, runs)}
        for k in ks
    ]}  # fmt: skip

  nearest = [neighbours.nearest(c[rows], net_ids, max(ks)) for c in encoded]
  report = {name: table(
      np.stack([
          neighbours.alike(one, its_tasks, continuous=continuous)
          for one in nearest
      ]),
      runs,
  )}  # fmt: skip
  if name == WEIGHTS:
    chance = neighbours.chance(net_ids, its_tasks, continuous=continuous)
    report["chance"] = table(np.repeat(chance[None, :, None], max(ks), 2), [])
  return report


def _invariance(study, runs, pretrained):
  rows = np.concatenate(study.split)
  generator = np.random.default_rng(study.config["seed"])
  count = min(study.config["codes"]["twins"], len(rows))
  rows = np.sort(generator.choice(rows, count, replace=False))

  def drift(one, signed):
    encode = None
    if one is not None:
      encode = functools.partial(one.encoder.apply, one.params["encoder"])
    return invariance.drift(
        encode,
        study.zoo.rnn,
        study.zoo.vectors(rows),
        signed=signed,
        seed=study.config["seed"],
        net_ids=study.zoo.columns["net_id"][rows],
    )

  return {
      kind: {"distance": study.mean(
          np.stack([drift(one, kind == "signed") for one in pretrained]),
          rows, runs,
      )}
      for kind in ("permutation", "signed")
  }  # fmt: skip


def _transcript(study, name, pretrained):
  """The interrogation of the best network of validation tasks; or None.

  Of the first one where no accuracy is known.
  """
  rows = study.final(study.split.validation)
  if not len(rows):
    return None
  known = "accuracy" in study.zoo.spec.metric_names
  row = rows[np.argmax(study.zoo.columns["accuracy"][rows]) if known else 0]
  encoder = pretrained.model.encoders[study.zoo.shapes[row]]
  if encoder.transcript is None:
    return None
  weights = jax.tree.map(lambda a: a[0], study.zoo.weights([row]))
  seen = jax.jit(encoder.transcript)(pretrained.params["encoder"], weights)
  sample = study.zoo.rollouts([row]).sequences[0, 0]
  symbols = study.family.spec.symbols
  columns = study.zoo.columns
  return {
      "net_id": int(columns["net_id"][row]),
      "step": int(columns["step"][row]),
      "describe": study.family.describe(columns["task"][row]),
      "accuracy": float(columns["accuracy"][row]) if known else None,
      "symbols": list(symbols),
      "probes": np.round(seen.probes[:, :_SEQUENCES], 4).tolist(),
      "answers": np.round(
          jax.nn.softmax(seen.answers[:, :_SEQUENCES]), 4
      ).tolist(),
      "sample": " ".join(symbols[t] for t in sample) if symbols else "",
  }


def _write_interrogations(study, name, pretrained, shown, runs):
  """Those of all networks shown, as bytes, for the page's scatter plot."""
  transcript = jax.jit(jax.vmap(pretrained.encoder.transcript, (None, 0)))
  probes, answers = [], []
  for rows in np.array_split(shown, -(-len(shown) // 100)):
    seen = transcript(pretrained.params["encoder"], study.zoo.weights(rows))
    probes.append(np.asarray(seen.probes[:, :, :_SEQUENCES]))
    answers.append(
        np.asarray(jax.nn.softmax(seen.answers[:, :, :_SEQUENCES]))
    )
  probes, answers = np.concatenate(probes), np.concatenate(answers)
  symbols = list(study.family.spec.symbols)
  span = None if symbols else (float(probes.min()), float(probes.max()))
  low, high = span or (0.0, 1.0)
  n, length, parallel, inputs = probes.shape
  results.write(study.folder("codes", name) / INTERROGATIONS, {
      "encoder": name,
      "run": runs[0] if runs else None,
      "symbols": symbols,
      "range": span,
      "rows": list(range(n)),
      "probes": _bytes((probes - low) / (high - low)),
      "answers": _bytes(answers),
      "shape": {
          "length": length, "parallel": parallel, "inputs": inputs,
          "outputs": answers.shape[-1],
      },
  })  # fmt: skip


def _bytes(shares):
  scaled = np.round(255 * np.clip(shares, 0, 1)).astype(np.uint8)
  return base64.b64encode(scaled.tobytes()).decode("ascii")
