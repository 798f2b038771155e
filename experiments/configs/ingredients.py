"""What is taken away, or put in its place: `ingredients.py:FAMILY`.

    python -m experiments.ingredients --zoo=ZOO --workdir=DIR \\
        --config=experiments/configs/ingredients.py:formal_language

A variant is an encoder and the fields that differ from its config of size
`small`; all are trained for as many steps, with the same seeds.
"""

from ml_collections import ConfigDict

_TRAINING = {
    "total variation alone": {"emulation.divergence": "total_variation"},
    "code at the first step": {"emulator.conditioning": "first"},
    "one learning rate": {"optimizer.emulator_ratio": 1.0},
}
_PAPER = {
    "emulation.divergence": "total_variation",
    "emulator.conditioning": "first",
    "optimizer.emulator_ratio": 1.0,
}
VARIANTS = {
    "formal_language": {
        "listening": ("listening", {}),
        **{name: ("listening", fields) for name, fields in _TRAINING.items()},
        "the same draws at every step": (
            "listening", {"encoder.fresh": False},
        ),
        "listening and asking": ("dialogue", {}),
        "asking, starts as samples, reads sums": (
            "interactive",
            {"encoder.start": "samples", "encoder.reads": "state+sums"},
        ),
        "asking, starts as samples": (
            "interactive", {"encoder.start": "samples"},
        ),
        "asking, as in the paper": ("interactive", {}),
        "asking, the paper's training too": ("interactive", _PAPER),
        "fixed probes, start as inputs": (
            "noninteractive",
            {"encoder.start": "inputs", "encoder.reads": "answers"},
        ),
        "fixed probes, as in the paper": ("noninteractive", {}),
        "deep linear probes": ("deep_linear", {}),
        "DWSNet with probes": ("hybrid", {}),
        "DWSNet": ("dws", {}),
    },
    "tiled_mnist": {
        "watching": ("watching", {}),
        **{name: ("watching", fields) for name, fields in _TRAINING.items()},
        "no noise on features": ("watching", {"encoder.noise": 0.0}),
        "read by an MLP": ("watching", {"encoder.layers": 2}),
        "8 inputs": ("watching", {"encoder.parallel": 8}),
        "fixed probes, start as inputs": (
            "noninteractive",
            {
                "encoder.start": "inputs", "encoder.reads": "answers",
                "encoder.length": 50, "encoder.parallel": 8,
            },
        ),
        "fixed probes, as in the paper": (
            "noninteractive", {"encoder.length": 50, "encoder.parallel": 8},
        ),
        "DWSNet": ("dws", {}),
    },
}  # fmt: skip


def get_config(family: str = "formal_language") -> ConfigDict:
  """The variants of a family of tasks."""
  if family not in VARIANTS:
    raise ValueError(f"no family {family!r}; there are: {', '.join(VARIANTS)}")
  config = ConfigDict()
  config.family = family
  config.names = tuple(VARIANTS[family])  # of the variants to compare
  config.steps = 1000 if family == "formal_language" else 500
  config.seeds = 3
  return config
