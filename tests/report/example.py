"""Results that look like those of a study; nothing was trained."""

import base64
import json

import numpy as np

from weightspace.tasks import formal_language

ENCODERS = (
    "constant", "statistics", "flat", "transformer", "dws", "noninteractive",
    "interactive",
)  # fmt: skip
FAMILIES = ("formal_language", "tiled_mnist")
SYMBOLS = ["a", "b", "c", "d", "BOS", "EOS"]
_LOSSES = dict(zip(ENCODERS, (.094, .051, .046, .044, .045, .024, .016)))
_STEPS = [0, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Maker:
  """Cells with intervals, and the runs they come from."""

  def __init__(self, seeds, encoders):
    self.generator = np.random.default_rng(7)
    self.seeds, self.encoders, self.runs = seeds, encoders, {}
    self.losses = {name: _LOSSES[name] for name in encoders}

  def cell(self, value, family, stage, encoder, width=0.06):
    value = value * (1 + self.generator.normal(0, width / 3))
    half = abs(value) * width * self.generator.uniform(0.6, 1.4)
    return {
        "value": value,
        "low": value - half,
        "high": value + 1.2 * half,
        "runs": [
            self.run(family, stage, encoder, seed)
            for seed in range(self.seeds)
        ],
    }

  def run(self, family, stage, encoder, seed=0):
    name = f"{family}/{stage}/{encoder}/{seed}"
    self.runs.setdefault(name, {
        "family": family,
        "stage": stage,
        "encoder": encoder,
        "seed": seed,
        "commit": _COMMIT,
        "config": {
            "emulation": {
                "learning_rate": 3e-4, "warmup_steps": 200, "steps": 20000,
                "batch_size": 64,
            },
            "encoder": {"config": {"width": 128}},
        },
        "seconds": 312.4,
        "best_step": 18000,
        "validation": 0.1 + 0.01 * seed,
    })  # fmt: skip
    return name


def _zoo(make, family):
  ramp = np.linspace(0.01, 0.98, len(_STEPS))

  def band(middle):
    return {
        "median": list(middle), "mean": list(middle),
        "low": list(0.8 * middle), "high": list(np.minimum(1.2 * middle, 2)),
    }  # fmt: skip

  losses = {
      "formal_language": ("loss",),
      "tiled_mnist": ("train_loss", "eval_loss"),
  }[family]
  return {
      "family": family,
      "shapes": [{"cell": "lstm", "hidden": [16], "parameters": 1638}],
      "networks": 1000,
      "tasks": 167,
      "rows": 9000,
      "diverged": 2,
      "steps": _STEPS,
      "curves": {
          "accuracy": band(ramp), **{name: band(2 - ramp) for name in losses},
      },
      "final_accuracy": [None, *make.generator.beta(14, 0.6, 30)],
      "splits": {
          "train": {"tasks": 117, "rows": 6300},
          "validation": {"tasks": 25, "rows": 1350},
          "ood": {"tasks": 25, "rows": 1350},
      },
  }


def _emulation(make, family):
  paper = {"statistics": [0.051, 0.050, 0.053], "interactive": [0.015, 0.008,
           0.022]}  # fmt: skip
  return {
      "divergence": "total_variation",
      "paper": paper,
      "encoders": {
          name: {
              "parameters": 51234,
              "curve": {"step": [0, 50, 100], "train": [0.5, None, loss]},
              "validation_curve": {"step": [50, 100], "loss": [0.3, loss]},
              **_gain(make, family, name),
          } | {
              split: {
                  divergence: make.cell(loss * scale * factor, family,
                                        "emulation", name, 0.1)
                  for divergence, scale in (
                      ("total_variation", 1), ("reverse_kl", 3.3),
                  )
              }
              for split, factor in (("validation", 1), ("ood", 1.3))
          }
          for name, loss in make.losses.items()
      },
  }  # fmt: skip


def _gain(make, family, name):
  if name == "constant":
    return {}
  gain = 1 - _LOSSES[name] / _LOSSES["constant"]
  return {"gain": {
      part: make.cell(gain * factor, family, "emulation", name)
      for part, factor in (("validation", 1), ("ood", 0.8))
  }}  # fmt: skip


def _metrics(property_, good):
  regression = {"mse": 0.1 * (1 - good), "r2": good, "kendall_tau": 0.8 * good}
  return {
      "task": {"per_count_accuracy": good, "all_right": good**3},
      "angle": {"degrees": 90 * (1 - good), "mse": 0.5 * (1 - good)},
      "step": {"accuracy": good, "kendall_tau": good},
  }.get(property_, regression)


def _prediction(make, family, way):
  properties = {
      "formal_language": ("task", "accuracy"),
      "tiled_mnist": ("angle", "accuracy", "step", "generalization_gap"),
  }[family]

  def report(name, property_, good):
    return {
        part: {
            metric: make.cell(value, family, way, name)
            for metric, value in _metrics(property_, good * factor).items()
        }
        for part, factor in (("validation", 1), ("test", 0.8))
    }

  return {
      name: {
          property_: {
              protocol: {
                  **report(name, property_, good),
                  "by_step": {
                      str(step): report(name, property_, good * factor)
                      for step, factor in ((20000, 1.1), (100, 0.2))
                  },
              }
              for protocol, share in (("strict", 0.85), ("paper", 1))
              for good in ((1 - 9 * _LOSSES[name]) * share,)
          }
          for property_ in properties
      }
      for name in make.encoders
  }


def _scatter(make):
  actual = make.generator.beta(8, 1, 40)
  return {
      "encoder": make.encoders[-1],
      "actual": actual.tolist(),
      "predicted": (actual + make.generator.normal(0, 0.1, 40)).tolist(),
  }


def _transcript(make, family):
  length, inputs, outputs, symbols, parallel = {
      "formal_language": (14, 6, 6, SYMBOLS, 2),
      "tiled_mnist": (9, 16, 10, [], 1),
  }[family]
  draw = make.generator.dirichlet
  return {"interactive": {
      "net_id": 17, "step": 20000, "accuracy": 0.983, "symbols": symbols,
      "describe": "a^n b^(n+1) c^n d^(n-2)",
      "probes": draw(np.ones(inputs), (length, parallel)).tolist(),
      "answers": draw(np.ones(outputs), (length, parallel)).tolist(),
      "sample": "a a b b b c",
  }}  # fmt: skip


def _clones(make, family, count):
  entry = {}
  for name in make.encoders[1:]:
    tells = 1 - 12 * _LOSSES[name]
    original = np.where(
        make.generator.random(count) < 0.3,
        make.generator.uniform(0, 0.5, count),
        make.generator.beta(9, 1, count),
    )
    clone = tells * original + (1 - tells) * make.generator.beta(4, 2, count)
    entry[name] = {
        "correlation": make.cell(0.5 + tells / 2, family, "emulation", name),
        "mean_absolute_error": make.cell(
            0.3 * (1 - tells), family, "emulation", name
        ),
        "original": original.tolist(),
        "clone": clone.tolist(),
        "split": make.generator.choice(["validation", "ood"], count).tolist(),
        "run": make.run(family, "emulation", name),
    }
  return entry


def _codes(make, family, count):
  generator = make.generator
  steps = generator.choice(_STEPS, count)
  learned = np.clip(
      np.log1p(steps) / np.log(20001) + generator.normal(0, 0.05, count), 0, 1
  )
  if family == "formal_language":
    tasks = generator.integers(-3, 3, (count, 3)).astype(float)
    names = [formal_language.describe(t.astype(int)) for t in tasks]
    true = tasks @ np.array([[0.9, 0.2], [-0.2, 1.0], [0.5, -0.6]])
  else:
    tasks = generator.uniform(0, 360, (count, 1))
    names = [f"digits rotated by {a:.1f}°" for a in tasks[:, 0]]
    angle = np.deg2rad(tasks[:, 0])
    true = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
  pictures = {}
  for name in (*make.encoders[1:], "weights"):
    noise = 60 * _LOSSES.get(name, 0.06)
    points = learned[:, None] * true + generator.normal(0, noise, (count, 2))
    pictures[name] = {
        "pca": points.tolist(),
        "explained": [0.41, 0.22],
        "tsne": (20 * np.tanh(points / 3)).tolist(),
        "run": None if name == "weights" else make.run(family, "emulation",
                                                       name),
    }  # fmt: skip
  split = generator.choice(["train", "validation", "ood"], count,
                           p=[0.7, 0.15, 0.15])  # fmt: skip
  return {
      "rows": {
          "net_id": list(range(count)),
          "step": steps.tolist(),
          "task": tasks.tolist(),
          "describe": names,
          "accuracy": learned.tolist(),
          "split": split.tolist(),
      },
      "pictures": pictures,
  }


def _variants(make, family):
  return {
      f"{base}, {name}": {
          "group": group,
          "base": base,
          "fields": {"encoder": {"parallel": 1}},
          "validation": make.cell(
              _LOSSES[base] * factor, family, f"variants-{name}", base, 0.12
          ),
      }
      for base in ("noninteractive", "interactive")
      for group, name, factor in (
          ("sequences", "M=1", 1.4), ("stability", "own samples", 0.9),
      )
  }  # fmt: skip


def _labels(make, family):
  counts = [1, 2, 4, 8, 16, 32]
  property_, metric, better = {
      "formal_language": ("task", "per_count_accuracy", "higher"),
      "tiled_mnist": ("angle", "degrees", "lower"),
  }[family]

  def reached(start, gain):
    good = 1 - (1 - start) * np.exp(-gain * np.log2(counts))
    return good if better == "higher" else 90 * (1 - good)

  def arm(name, start, gain):
    encoder, way = name.split(", ")
    stage = f"labels-{way.replace(' ', '-')}"
    return [
        make.cell(value, family, stage, encoder, 0.08)
        for value in reached(start, gain)
    ]

  arms = {
      name: arm(name, *curve)
      for name, curve in {
          "interactive, pretrained": (0.5, 0.25),
          "interactive, from scratch": (0.2, 0.12),
          "dws, from scratch": (0.3, 0.1),
      }.items()
  }
  first, second = list(arms)[:2]
  gains = [
      abs(a["value"] / b["value"] - 1) * 100
      for a, b in zip(arms[first], arms[second])
  ]
  return {
      "networks": counts,
      "unit": "labelled networks per task"
      if family == "formal_language"
      else "labelled networks",
      "properties": {
          property_: {
              "metric": metric,
              "better": better,
              "arms": arms,
              "improvement": {
                  "over": second,
                  "of": first,
                  "per_cent": [
                      make.cell(gain, family, "labels-pretrained",
                                "interactive", 0.3)
                      for gain in gains
                  ],
              },
          }
      },
  }  # fmt: skip


def _invariance(make, family):
  drifts = {
      "statistics": (0, 0.2), "flat": (0.7, 0.8), "transformer": (0.5, 0.6),
      "dws": (0, 0.3), "noninteractive": (0, 0), "interactive": (0, 0),
      "weights": (1, 1.01),
  }  # fmt: skip
  return {
      name: {
          kind: {"distance": make.cell(value, family, "emulation", name)}
          for kind, value in zip(("permutation", "signed"), values)
      }
      for name, values in drifts.items()
      if name in (*make.encoders, "weights")
  }


def _neighbours(make, family):
  measure = "precision" if family == "formal_language" else "degrees"
  entry = {}
  for name in (*make.encoders[1:], "weights", "chance"):
    good = 1 - 8 * _LOSSES.get(name, 0.1)
    entry[name] = {
        measure: [
            {
                "k": k,
                "value": make.cell(
                    good * (1 - k / 40) if measure == "precision"
                    else 90 * (1 - good) + k, family, "emulation", name,
                ),
            }
            for k in (1, 5, 10)
        ]
    }  # fmt: skip
  return entry


def _search(make, family):
  entry = {}
  for name, loss in make.losses.items():
    trials = [
        {
            "run": make.run(family, f"search-{i}", name),
            "setting": {
                "learning_rate": float(10 ** make.generator.uniform(-4, -2.5)),
                "warmup": float(make.generator.choice([0.0, 0.05, 0.1])),
            },
            "validation": loss * (1.1 + make.generator.exponential(0.5)),
        }
        for i in range(6)
    ]
    best = min(trials, key=lambda trial: trial["validation"])
    entry[name] = {"trials": trials, "chosen": best["setting"]}
  entry["interactive"]["trials"][-1]["validation"] = None
  return {"steps": 3000, "encoders": entry}


def _heads(make, family):
  entry = {}
  for name, loss in make.losses.items():
    trials = [
        {
            "run": make.run(family, "emulation", name),
            "setting": {"learning_rate": rate, "layers": 2},
            "validation": 100 * loss * rate,
        }
        for rate in (3e-4, 3e-3)
    ]
    entry[name] = {"trials": trials, "chosen": trials[0]["setting"]}
  return {"steps": 1000, "encoders": entry}


def _claims():
  """One claim that holds, and one that was not measured."""
  common = {
      "origin": "the paper", "shown_by": "a measurement", "above": 0.5,
      "runs": [], "command": "python -m x", "commit": _COMMIT,
  }  # fmt: skip
  return [
      {"claim": "Codes tell tasks.", "verdict": "holds", "value": 0.9,
       "low": 0.875, "high": 1.0, **common},
      {"claim": "Codes tell time.", "verdict": "not decided here",
       "value": None, "low": None, "high": None, **common},
  ]  # fmt: skip


def make(
    rows: int = 300, seeds: int = 3, encoders: tuple[str, ...] = ENCODERS
) -> dict:
  """Everything that the report can show, as it comes out of JSON."""
  maker = _Maker(seeds, encoders)

  def each(part, *arguments):
    return {family: part(maker, family, *arguments) for family in FAMILIES}

  entry = {
      "title": "Useful representations of weights, regenerated",
      "command": "python -m experiments.reproduce --workdir=DIR --size=small",
      "size": "small",
      "commit": _COMMIT,
      "software": {"python": "3.12.4", "jax": "0.12.0", "numpy": "2.3.1"},
      "seconds": {"zoos": 931.0, "search": 1510.0, "emulation": 5120.0},
      "zoos": each(_zoo),
      "search": {
          "emulation": each(_search),
          "head on accuracy": each(_heads),
      },
      "variants": each(_variants),
      "transcripts": each(_transcript),
      "emulation": each(_emulation),
      "prediction": {
          family: {
              way: _prediction(maker, family, way)
              for way in ("frozen", "supervised")
          } | {"scatter": _scatter(maker)}
          for family in FAMILIES
      },
      "clones": each(_clones, rows // 2),
      "codes": each(_codes, rows),
      "labels": each(_labels),
      "claims": _claims(),
      "invariance": each(_invariance),
      "neighbours": each(_neighbours),
  }
  entry["runs"] = maker.runs
  return json.loads(json.dumps(entry))


def interrogations(results: dict) -> dict:
  """Of three quarters of the networks shown of each zoo."""
  generator = np.random.default_rng(3)
  entry = {}
  for family, length, parallel, inputs, outputs, symbols in (
      ("formal_language", 22, 2, 6, 6, SYMBOLS),
      ("tiled_mnist", 50, 1, 16, 10, []),
  ):
    count = 3 * len(results["codes"][family]["rows"]["step"]) // 4
    shape = (count, length, parallel)
    if symbols:
      probes = generator.dirichlet(np.full(inputs, 0.2), shape)
    else:
      probes = generator.random((*shape, inputs)) ** 3
    answers = generator.dirichlet(np.full(outputs, 0.2), shape)
    entry[family] = {
        "encoder": "interactive",
        "run": f"{family}/emulation/interactive/0",
        "symbols": list(symbols),
        "range": None if symbols else [-0.4, 2.8],
        "rows": list(range(count)),
        "probes": _bytes(probes),
        "answers": _bytes(answers),
        "shape": {
            "length": length, "parallel": parallel, "inputs": inputs,
            "outputs": outputs,
        },
    }  # fmt: skip
  return entry


def _bytes(values):
  packed = np.round(255 * values).astype(np.uint8)
  return base64.b64encode(packed.tobytes()).decode()
