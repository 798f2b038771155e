"""The space of codes: pictures, neighbours, invariance, interrogations."""

import base64
import functools
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
    found, runs, pretrained = [_vectors(bench)], [], [None]
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
          name: _invariance(bench, runs, pretrained)
      }},
  }  # fmt: skip
  if runs and pretrained[0].encoder.transcript is not None:
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
  columns, rows = bench.source.columns, np.concatenate(bench.split)
  net_ids, its_tasks = columns["net_id"][rows], columns["task"][rows]
  continuous = bench.family.spec.classes is None
  ks = bench.config["codes"]["neighbours"]

  def table(of_each, runs):
    """`of_each` is [S, n, most neighbours]."""
    return {"degrees" if continuous else "precision": [
        {"k": k, "value": bench.mean(of_each[..., :k].mean(-1), rows, runs)}
        for k in ks
    ]}  # fmt: skip

  nearest = [neighbours.nearest(c[rows], net_ids, max(ks)) for c in found]
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


def _invariance(bench, runs, pretrained):
  rows = np.concatenate(bench.split)
  generator = np.random.default_rng(bench.config["seed"])
  count = min(DRIFT_ROWS, len(rows))
  rows = np.sort(generator.choice(rows, count, replace=False))

  def drift(one, signed):
    encode = None
    if one is not None:
      encode = functools.partial(one.encoder.apply, one.params["encoder"])
    return invariance.drift(
        encode,
        bench.source.rnn,
        bench.source.vectors(rows),
        signed=signed,
        seed=bench.config["seed"],
        net_ids=bench.source.columns["net_id"][rows],
    )

  found = {
      kind: np.stack([drift(one, kind == "signed") for one in pretrained])
      for kind in ("permutation", "signed")
  }
  return {
      kind: {"distance": bench.mean(values, rows, runs)}
      for kind, values in found.items()
  }


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
