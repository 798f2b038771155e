"""Results that look like those of a small run; no network was trained."""

import json

import numpy as np

from weightspace.tasks import formal_language

STEPS = [0, 50, 150, 300, 500]
SYMBOLS = ["a", "b", "c", "d", "BOS", "EOS"]


def _estimate(value, width=0.06):
  return {
      "value": value,
      "low": value * (1 - width),
      "high": value * (1 + 1.2 * width),
  }


def _zoo(generator):
  ramp = np.array([0.01, 0.2, 0.8, 0.95, 0.985])

  def band(middle, spread):
    return {
        "median": list(middle),
        "mean": list(middle * 0.97),
        "low": list(np.maximum(middle - spread * middle, 0)),
        "high": list(np.minimum(middle * (1 + spread), 1.9)),
    }

  curves = {
      "accuracy": band(ramp, 0.2),
      "accuracy_counts": band(np.minimum(ramp * 1.1, 1), 0.15),
      "loss": band(np.array([1.8, 0.7, 0.3, 0.25, 0.24]), 0.1),
  }
  for name in ("accuracy", "accuracy_counts"):
    curves[name]["high"] = list(np.minimum(curves[name]["high"], 1))
  return {
      "family": "formal_language",
      "shapes": [{"cell": "lstm", "hidden": [16], "parameters": 1638}],
      "networks": 320,
      "tasks": 167,
      "rows": 1600,
      "diverged": 0,
      "steps": STEPS,
      "curves": curves,
      "final_accuracy": list(generator.beta(14, 0.6, 320)),
  }


def _emulation(generator):
  ends = {"constant": 0.094, "statistics": 0.061, "interactive": 0.038}
  encoders = {}
  for name, end in ends.items():
    steps = list(range(0, 1501, 50))
    curve = end + (0.45 - end) * np.exp(-np.array(steps) / 150)
    encoders[name] = {
        "parameters": {"constant": 16, "statistics": 51234}.get(name, 98432),
        "steps": 1500,
        "best_step": 1400,
        "seconds": 41.5,
        "curve": {
            "step": steps,
            "train": list(curve + generator.normal(0, 0.002, len(steps))),
        },
        "validation_curve": {
            "step": steps[::3],
            "loss": list(curve[::3] * 1.05),
        },
        "validation": {
            "total_variation": _estimate(end * 1.0437),
            "reverse_kl": _estimate(end * 3.21),
        },
        "ood": {
            "total_variation": _estimate(end * 1.3319),
            "reverse_kl": _estimate(end * 4.09),
        },
    }
    if name != "constant":
      gain = 1 - end / ends["constant"]
      encoders[name]["gain"] = {
          "validation": _estimate(gain),
          "ood": _estimate(gain * 0.83),
      }
  return {
      "divergence": "total_variation",
      "encoders": encoders,
      "paper": {
          "statistics": [0.051, 0.050, 0.053],
          "interactive": [0.015, 0.008, 0.022],
      },
  }


def _prediction(generator):
  def task(value):
    return {
        "per_count_accuracy": _estimate(value),
        "all_right": _estimate(value**3),
    }

  def regression(value):
    return {
        "mse": _estimate(0.09 * (1 - value)),
        "r2": _estimate(value),
        "kendall_tau": _estimate(value * 0.8),
    }

  encoders = {}
  for name, good in (("statistics", 0.41), ("interactive", 0.72)):
    encoders[name] = {
        kind: {
            protocol: {
                "step": 1200,
                "validation": metrics(good),
                "test": metrics(good * share),
                "by_step": {"500": {
                    "validation": metrics(good + 0.1),
                    "test": metrics(good * share + 0.1),
                }},
                "predictions": [[0.1], [0.2]],
            }
            for protocol, share in (("strict", 0.71), ("paper", 0.83))
        }
        for kind, metrics in (("task", task), ("accuracy", regression))
    }
  actual = np.where(
      generator.random(250) < 0.4,
      generator.uniform(0, 0.3, 250),
      generator.beta(8, 1, 250),
  )
  predicted = actual + generator.normal(0, 0.12, 250)
  return {
      "encoders": encoders,
      "scatter": {
          "encoder": "interactive",
          "predicted": list(predicted),
          "actual": list(actual),
      },
  }


def _rows(generator, count):
  tasks = generator.integers(-3, 3, (count, 3))
  steps = generator.choice(STEPS, count)
  accuracy = np.clip(
      np.interp(steps, STEPS, [0, 0.2, 0.8, 0.9, 0.97])
      + generator.normal(0, 0.08, count), 0, 1,
  )  # fmt: skip
  ranks = np.argsort(np.argsort(np.ptp(tasks, axis=1), kind="stable"))
  split = np.where(generator.random(count) < 0.8, "train", "validation")
  split = np.where(ranks > 0.85 * count, "ood", split)
  return {
      "net_id": list(range(count)),
      "step": steps.tolist(),
      "task": tasks.tolist(),
      "language": [formal_language.describe(t) for t in tasks],
      "accuracy": accuracy.tolist(),
      "split": split.tolist(),
  }


def _codes(generator, rows):
  tasks = np.array(rows["task"])
  learned = np.array(rows["accuracy"])[:, None]
  ways = np.array([[0.9, 0.2], [-0.2, 1.0], [0.5, -0.6]]) / 4
  points = learned * (tasks @ ways)
  points = points + generator.normal(0, 0.08, points.shape)
  return {
      name: {"pca": (points * scale).tolist(), "explained": [0.41, 0.22]}
      for name, scale in (("statistics", 0.4), ("interactive", 1.0))
  }


def _transcript(generator, length, parallel, task):
  def soft(sharpness):
    logits = sharpness * generator.normal(size=(length, parallel, 6))
    odds = np.exp(logits)
    return (odds / odds.sum(-1, keepdims=True)).tolist()

  return {
      "encoder": "interactive",
      "net_id": 17,
      "step": 500,
      "language": formal_language.describe(np.array(task)),
      "accuracy": 0.983,
      "symbols": SYMBOLS,
      "probes": soft(2.0),
      "answers": soft(4.0),
      "sample": "aabbbccd",
  }


def digits() -> dict:
  """The same of a zoo of digits."""
  generator = np.random.default_rng(0)
  found = make()
  angles = generator.uniform(0, 360, len(found["rows"]["step"]))
  found["rows"]["task"] = angles[:, None].tolist()
  found["rows"]["language"] = [f"digits rotated by {a:.1f}°" for a in angles]
  found["zoo"]["family"] = "tiled_mnist"
  curves = found["zoo"]["curves"]
  del curves["accuracy_counts"]
  curves["train_loss"] = curves["eval_loss"] = curves.pop("loss")
  gap = found["prediction"]["encoders"]["interactive"]["accuracy"]
  for by_property in found["prediction"]["encoders"].values():
    del by_property["task"]
    by_property["generalization_gap"] = gap
    by_property["angle"], by_property["step"] = (
        {
            protocol: {"validation": metrics, "test": metrics}
            for protocol in ("strict", "paper")
        }
        for metrics in (
            {"degrees": _estimate(23.4), "mse": _estimate(0.02)},
            {"accuracy": _estimate(0.61), "kendall_tau": _estimate(0.7)},
        )
    )
  odds = generator.dirichlet(np.ones(10), (9, 1))
  found["transcripts"] = [{
      **found["transcripts"][0],
      "language": "digits rotated by 123.4°",
      "symbols": [],
      "sample": "",
      "probes": generator.uniform(-0.5, 3, (9, 1, 16)).tolist(),
      "answers": odds.tolist(),
  }]
  return found


def make(seed: int = 0, rows: int = 400) -> dict:
  """Everything that a report can show, as it comes out of JSON."""
  generator = np.random.default_rng(seed)
  shown = _rows(generator, rows)
  return json.loads(json.dumps({
      "title": "Quickstart: what do these networks do?",
      "command": "python -m experiments.quickstart --workdir=DIR",
      "commit": "0123456789abcdef0123456789abcdef01234567",
      "seed": 0,
      "seconds": {"zoo": 93.2, "emulation": 151.0, "prediction": 18.4},
      "software": {"python": "3.12.4", "jax": "0.12.0", "numpy": "2.3.1"},
      "zoo": _zoo(generator),
      "splits": {
          "train": {"tasks": 117, "rows": 1120},
          "validation": {"tasks": 25, "rows": 235},
          "ood": {"tasks": 25, "rows": 245},
      },
      "emulation": _emulation(generator),
      "prediction": _prediction(generator),
      "codes": _codes(generator, shown),
      "rows": shown,
      "transcripts": [
          _transcript(generator, 14, 1, (1, 0, -2)),
          _transcript(generator, 10, 2, (-3, 2, 0)),
      ],
      "note": (
          "The paper trains 1000 networks of 13,766 weights for 20,000 steps,"
          " and its encoders for 100,000 steps with 64 networks each; this run"
          " had a few minutes. On one accelerator the whole of it takes hours."
      ),
  }))  # fmt: skip
