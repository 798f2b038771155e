"""Training of encoders by emulation: `emulation.py:ENCODER[,SIZE[,FAMILY]]`.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive,small

FAMILY is the zoo's task family, by default formal_language. For tiled_mnist,
probes cover the range of its pixels.

Encoders are the modules of `weightspace.encoders`, and `truth`, a reference
that uses the zoo's labels as codes. Sizes:

tiny        seconds on 2 cores, for tests.
quickstart  about a minute on 2 cores.
small       some minutes on 2 cores.
paper       the paper's: 100,000 steps, for an accelerator.

Fields and their defaults are those of the dataclasses that the config is for:
`--config=FILE:ARGS --help` lists them.
"""

import dataclasses

from ml_collections import ConfigDict

from weightspace.errors import UserError

SIZES = ("tiny", "quickstart", "small", "paper")


def get_config(what: str = "interactive,small") -> ConfigDict:
  """The config of an encoder, of one of `SIZES`."""
  from weightspace import emulator, encoders, plugins, tasks
  from weightspace.training import encoding, optimizer
  from weightspace.training.objectives import emulation

  name, size, family = (*what.split(",", 2), "", "")[:3]
  size = size or "small"
  if size not in SIZES:
    raise UserError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  plugins.load(tasks.__name__, family or "formal_language")
  config = ConfigDict()
  config.encoder = ConfigDict({"name": name})
  if name != encoding.TRUTH:
    known = plugins.load(encoders.__name__, name).Config
    config.encoder.update(_fields(known))
  config.encoder.update(ENCODERS.get(name, {}).get(size, {}))
  for field, value in FAMILIES.get(family, {}).get(size, {}).items():
    if field in config.encoder:  # of encoders with learned probes
      config.encoder[field] = value
  if name in ("noninteractive", "interactive") and size in ("small", "paper"):
    config.encoder.length = LENGTHS.get(family, config.encoder.length)
  config.emulator = ConfigDict(_fields(emulator.Config))
  config.optimizer = ConfigDict(_fields(optimizer.OptimizerConfig))
  config.emulation = ConfigDict(_fields(emulation.Config))
  if name in IN_BFLOAT16:
    config.emulation.matmul_precision = "bfloat16"
  if size != "paper":
    for part, fields in TRAINING[size].items():
      config[part].update(fields)
    config.emulation.update(STEPS.get(name, {}).get(size, {}))
    # Short runs decay the learning rate; the paper's is constant
    config.optimizer.decay_steps = config.emulation.steps
  return config


def parts(config: ConfigDict) -> dict[str, type]:
  """The dataclasses of its parts, which say what the fields mean."""
  from weightspace import emulator, encoders, plugins
  from weightspace.training import optimizer
  from weightspace.training.objectives import emulation

  return {
      "encoder": plugins.load(encoders.__name__, config.encoder.name).Config,
      "emulator": emulator.Config,
      "optimizer": optimizer.OptimizerConfig,
      "emulation": emulation.Config,
  }


def _fields(dataclass):
  return dataclasses.asdict(dataclass())


# Differences from the defaults of each Config, which are the paper's
_PROBING = {
    "tiny": {"length": 8, "hidden": 32, "layers": 1, "decoder": 32},
    "quickstart": {
        "parallel": 4, "hidden": 64, "layers": 1, "decoder": 64,
        "probe_limit": 3.0,
    },
    "small": {
        "parallel": 4, "hidden": 64, "decoder": 64, "probe_limit": 3.0,
    },
}  # fmt: skip
ENCODERS = {
    "dws": {
        "tiny": {"channels": 8, "layers": 2, "hidden": 32},
        "quickstart": {"channels": 16, "layers": 2, "hidden": 64},
        "small": {"channels": 16, "layers": 3},
    },
    "deep_linear": {
        "tiny": {"probes": 8, "length": 8, "width": 16, "hidden": 32},
    },
    "dialogue": {
        "tiny": {
            **_PROBING["tiny"], "reader": 32, "strings": 4, "eval_strings": 8,
        },
        "quickstart": _PROBING["quickstart"],
        "small": _PROBING["small"],
    },
    "flat": {
        "tiny": {"hidden": 32, "layers": 1},
    },
    "hybrid": {
        "tiny": {"channels": 8, "layers": 2, "hidden": 32, "length": 8},
        "quickstart": {"channels": 16, "layers": 2, "hidden": 64},
        "small": {"channels": 16, "layers": 3},
    },
    "interactive": _PROBING,
    "listening": {
        "tiny": {"strings": 4, "eval_strings": 8, "hidden": 32},
    },
    "noninteractive": _PROBING,
    "statistics": {
        "tiny": {"hidden": 64, "layers": 1},
        "quickstart": {"hidden": 256},
        "small": {"hidden": 256},
    },
    "transformer": {
        "tiny": {"width": 16, "layers": 1},
        "quickstart": {"width": 32, "layers": 2},
        "small": {"width": 48, "layers": 2},
    },
    "watching": {
        "tiny": {"parallel": 8},
    },
}
# Normalised pixels lie in [-0.42, 2.82]; a probe_limit of 3 excludes the outer
# 5 % of the range of probes
_PIXELS = {"low": -0.6, "high": 3.0}
FAMILIES = {
    "tiled_mnist": {
        "tiny": _PIXELS,
        "quickstart": _PIXELS,
        "small": _PIXELS,
        "paper": _PIXELS,
    },
}
# Steps of learned probes, but at the smaller sizes: all tiles of an image
LENGTHS = {"tiled_mnist": 50}
# The paper's choices need 100,000 steps: it conditions the emulator at the
# first step only, and minimises total variation
_EMULATION = {"divergence": "kl+total_variation"}
_OPTIMIZER = {"learning_rate": 3e-3, "warmup_steps": 50, "emulator_ratio": 3.0}
TRAINING = {
    "tiny": {
        "emulator": {"hidden": 32, "layers": 1, "conditioning": "every"},
        "optimizer": {**_OPTIMIZER, "warmup_steps": 20},
        "emulation": {
            **_EMULATION, "steps": 200, "validate_every": 100,
            "checkpoint_every": 100,
        },
    },
    "quickstart": {
        "emulator": {"hidden": 64, "conditioning": "every"},
        "optimizer": _OPTIMIZER,
        "emulation": {
            **_EMULATION, "steps": 1500, "validate_every": 250,
            "checkpoint_every": 500,
        },
    },
    "small": {
        "emulator": {"hidden": 128, "conditioning": "every"},
        "optimizer": _OPTIMIZER,
        "emulation": {
            **_EMULATION, "steps": 4000, "validate_every": 500,
            "checkpoint_every": 500,
        },
    },
}  # fmt: skip
# These are dominated by matrix products and reach the same loss in bfloat16;
# the others are hardly faster in it
IN_BFLOAT16 = ("transformer", "dws")
# The constant encoder's validation loss converges within 500 steps
STEPS = {"constant": {"quickstart": {"steps": 500}}}
