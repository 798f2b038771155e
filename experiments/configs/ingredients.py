"""Ablations of encoders and their training: `ingredients.py:FAMILY`.

    python -m experiments.ingredients --zoo=ZOO --workdir=DIR \\
        --config=experiments/configs/ingredients.py:formal_language

A variant is an encoder and the fields in which it differs from the config of
size `small`. All variants have the same number of steps and the same seeds.
"""

from ml_collections import ConfigDict

from weightspace.errors import UserError

_ONE_BY_ONE = {
    "total variation alone": {"emulation": {"divergence": "total_variation"}},
    "code at the first step": {"emulator": {"conditioning": "first"}},
    "one learning rate": {"optimizer": {"emulator_ratio": 1.0}},
}
_PAPER = {
    part: fields for one in _ONE_BY_ONE.values() for part, fields in one.items()
}


def _of(base, encoder=None, **parts):
  """A variant: an encoder and the fields that differ, by part of its config."""
  return {"base": base, **({"encoder": encoder} if encoder else {}), **parts}


VARIANTS = {
    "formal_language": {
        "listening": _of("listening"),
        **{n: _of("listening", **f) for n, f in _ONE_BY_ONE.items()},
        "the same draws at every step": _of("listening", {"fresh": False}),
        "listening and asking": _of("dialogue"),
        "asking, starts as samples, reads sums": _of(
            "interactive", {"start": "samples", "reads": "state+sums"}
        ),
        "asking, starts as samples": _of("interactive", {"start": "samples"}),
        "asking, as in the paper": _of("interactive"),
        "asking, the paper's training too": _of("interactive", **_PAPER),
        "fixed probes, start as inputs": _of(
            "noninteractive", {"start": "inputs", "reads": "answers"}
        ),
        "fixed probes, as in the paper": _of("noninteractive"),
        "deep linear probes": _of("deep_linear"),
        "DWSNet with probes": _of("hybrid"),
        "DWSNet": _of("dws"),
    },
    "tiled_mnist": {
        "watching": _of("watching"),
        **{n: _of("watching", **f) for n, f in _ONE_BY_ONE.items()},
        "no noise on features": _of("watching", {"noise": 0.0}),
        "read by an MLP": _of("watching", {"layers": 2}),
        "8 inputs": _of("watching", {"parallel": 8}),
        "fixed probes, start as inputs": _of(
            "noninteractive",
            {"start": "inputs", "reads": "answers", "length": 50,
             "parallel": 8},
        ),
        "fixed probes, as in the paper": _of(
            "noninteractive", {"length": 50, "parallel": 8}
        ),
        "DWSNet": _of("dws"),
    },
}  # fmt: skip


def get_config(family: str = "formal_language") -> ConfigDict:
  """The variants of a task family."""
  if family not in VARIANTS:
    raise UserError(f"no family {family!r}; there are: {', '.join(VARIANTS)}")
  config = ConfigDict()
  config.family = family
  config.names = tuple(VARIANTS[family])  # of the variants to compare
  config.steps = 1000 if family == "formal_language" else 500
  config.seeds = 3
  return config


def study(config: ConfigDict) -> ConfigDict:
  """The config of a study of these variants and of nothing else."""
  from experiments.configs import prediction
  from weightspace import plugins

  known = VARIANTS[config.family]
  for name in config.names:
    if name not in known:
      raise UserError(
          f"no variant {name!r}{plugins.nearest(name, known)}; there are:"
          f" {'; '.join(known)}"
      )
  parts = (
      "search", "emulation", "supervised", "heads", "clones", "few_labels",
  )  # fmt: skip
  return ConfigDict({
      **dict.fromkeys(parts),
      "title": "What each ingredient of an encoder is worth",
      "size": "small",
      "models": "small",
      "seed": 0,
      "encoders": (),
      "zoos": {config.family: None},
      "resamples": 1000,
      "properties": {config.family: ()},
      "codes": {"weights": False},
      "variants": {"ingredients": {
          "variants": {n: VARIANTS[config.family][n] for n in config.names},
          "steps": {config.family: config.steps},
          "seeds": config.seeds,
          "validations": 4,
          "head": {
              "forms": prediction.FORMS[config.family],
              "steps": prediction.STEPS[config.family],
          },
      }},
  })  # fmt: skip
