"""The space of codes: pictures, neighbours, invariance, interrogations."""

import base64
from typing import Any

import jax
import numpy as np

from experiments import results
from experiments.reproduction import bench as bench_lib
from experiments.reproduction import emulation
from experiments.reproduction.bench import Bench
from weightspace.evaluation import codes, invariance, neighbours
from weightspace.training.progress import Progress

WEIGHTS = "weights"
INTERROGATIONS = "interrogations.json"
DRIFT_ROWS = 256  # networks whose codes are compared with their twins'


def jobs(config, family: str) -> list[str]:
  """One for each encoder, one for the raw weights."""
  return [
      WEIGHTS, *(e for e in config["encoders"] if e != results.BASELINE)
  ]


def run(bench: Bench, name: str, progress: Progress) -> dict[str, Any]:
  """Describes the codes of all rows, held out ones too; trains nothing."""
  del progress
  bench.note("all", "weights, labels", f"codes {name}")
  shown, part_of = _shown(bench)
  if name == WEIGHTS:
    found, runs, pretrained = [_vectors(bench)], [], []
  else:
    found = list(bench_lib.load(bench.folder("heads", name), "codes"))
    runs = emulation.run_ids(bench, name)
    pretrained = [one for one, _ in emulation.trained(bench, name)]
  report = {
      "codes": {bench.name: {
          "pictures": {name: {
              **_picture(bench, found[0][shown]),
              "run": runs[0] if runs else None,
          }},
          **({"rows": _rows(bench, shown, part_of)} if not runs else {}),
      }},
      "neighbours": {bench.name: _neighbours(bench, name, found, runs)},
      "invariance": {bench.name: {
          name: _invariance(bench, found, runs, pretrained)
      }},
  }  # fmt: skip
  if pretrained and pretrained[0].model.encoders[0].transcript is not None:
    _write_interrogations(bench, name, pretrained[0], shown, runs[0])
  return report


def _shown(bench):
  """Rows to be drawn, and the split of each."""
  everything = np.concatenate(bench.split)
  part_of = np.repeat(
      bench.split._fields, [len(rows) for rows in bench.split]
  )
  generator = np.random.default_rng(bench.config["seed"])
  count = min(bench.config["codes"]["rows"], len(everything))
  chosen = np.sort(generator.choice(len(everything), count, replace=False))
  return everything[chosen], part_of[chosen]


def _rows(bench, shown, part_of):
  columns = bench.source.columns
  return {
      "net_id": columns["net_id"][shown].tolist(),
      "step": columns["step"][shown].tolist(),
      "task": columns["task"][shown].tolist(),
      "describe": [
          bench.family.describe(task) for task in columns["task"][shown]
      ],
      "accuracy": np.round(columns["accuracy"][shown], 4).tolist(),
      "split": part_of.tolist(),
  }


def _vectors(bench):
  if len(bench.source.rnns) > 1:
    raise ValueError(
        "weights of networks of several shapes cannot be compared: the study"
        " takes zoos of one shape"
    )
  return np.nan_to_num(bench.source.vectors(np.arange(len(bench.source))))


def _picture(bench, vectors):
  settings = bench.config["codes"]
  points, share = codes.pca(vectors)
  found = codes.tsne(
      vectors, seed=bench.config["seed"], perplexity=settings["perplexity"]
  )
  return {
      "pca": np.round(points, 3).tolist(),
      "explained": [float(s) for s in share],
      "tsne": np.round(found, 2).tolist(),
  }


def _neighbours(bench, name, found, runs):
  columns = bench.source.columns
  rows = np.concatenate(bench.split)
  continuous = bench.family.spec.classes is None
  title = "degrees" if continuous else "precision"

  def cells(measure, runs):
    return {title: [
        {"k": k, "value": bench.mean(np.stack(measure(k)), rows, runs)}
        for k in bench.config["codes"]["neighbours"]
    ]}  # fmt: skip

  def measured(k):
    return [
        neighbours.measure(
            one[rows], columns["net_id"][rows], columns["task"][rows],
            k=k, continuous=continuous,
        )
        for one in found
    ]  # fmt: skip

  report = {name: cells(measured, runs)}
  if name == WEIGHTS:
    report["chance"] = cells(
        lambda k: [neighbours.chance(
            columns["net_id"][rows], columns["task"][rows],
            continuous=continuous,
        )],
        [],
    )  # fmt: skip
  return report


def _invariance(bench, found, runs, pretrained):
  rows = np.concatenate(bench.split)
  generator = np.random.default_rng(bench.config["seed"])
  count = min(DRIFT_ROWS, len(rows))
  rows = np.sort(generator.choice(rows, count, replace=False))
  vectors = bench.source.vectors(rows)
  rnn = bench.source.rnn
  report = {}
  for kind in ("permutation", "signed"):
    drifts = []
    for one in pretrained or [None]:
      encode = None
      if one is not None:
        params, apply = one.params["encoder"], one.encoder.apply
        encode = lambda w, apply=apply, params=params: apply(params, w)  # noqa
      drifts.append(invariance.drift(
          encode, rnn, vectors, seed=bench.config["seed"],
          signed=kind == "signed",
      ))  # fmt: skip
    report[kind] = {"distance": bench.mean(np.stack(drifts), rows, runs)}
  return report


def _write_interrogations(bench, name, pretrained, shown, run):
  transcript = jax.jit(jax.vmap(pretrained.encoder.transcript, (None, 0)))
  probes, answers = [], []
  for rows in np.array_split(shown, -(-len(shown) // 100)):
    found = transcript(pretrained.params["encoder"], bench.source.weights(rows))
    probes.append(np.asarray(found.probes))
    answers.append(np.asarray(jax.nn.softmax(found.answers)))
  probes, answers = np.concatenate(probes), np.concatenate(answers)
  symbols = list(bench.family.spec.symbols)
  span = None if symbols else (float(probes.min()), float(probes.max()))
  low, high = span or (0.0, 1.0)
  n, length, parallel, inputs = probes.shape
  results.write(bench.folder("codes", name) / INTERROGATIONS, {
      "encoder": name,
      "run": run,
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
