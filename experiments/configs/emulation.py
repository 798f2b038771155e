"""Encoders trained by emulation: `emulation.py:ENCODER` or `:ENCODER,SIZE`.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive,small

Encoders are the modules of `weightspace.encoders`. Sizes:

tiny        seconds on 2 cores, for trying things out.
quickstart  about a minute on 2 cores.
small       some minutes on 2 cores.
paper       as in the paper: 100,000 steps, for an accelerator.
"""

from ml_collections import ConfigDict

SIZES = ("tiny", "quickstart", "small", "paper")


def get_config(what: str = "interactive,small") -> ConfigDict:
  """The config of an encoder, of one of `SIZES`."""
  name, _, size = what.partition(",")
  size = size or "small"
  if size not in SIZES:
    raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  if name not in ENCODERS:
    raise ValueError(f"no encoder {name!r}; there are: {', '.join(ENCODERS)}")
  config = ConfigDict()
  config.encoder = ConfigDict({"name": name, **ENCODERS[name][size]})
  config.emulator = ConfigDict()  # weightspace.emulator.Config
  config.emulator.cell = "lstm"
  config.emulator.hidden = {"tiny": 32, "small": 128, "paper": 256}[size]
  config.emulator.layers = 2
  config.optimizer = ConfigDict()  # weightspace.training.optimizer
  config.optimizer.learning_rate = 1e-4 if size == "paper" else 3e-3
  config.optimizer.weight_decay = 0.01
  config.optimizer.clip = 0.1  # largest gradient norm of each module
  config.optimizer.warmup_steps = 0 if size == "paper" else 50
  config.emulation = ConfigDict()  # weightspace.training.emulation.Config
  config.emulation.divergence = "total_variation"
  config.emulation.steps = {"tiny": 200, "small": 5000, "paper": 100_000}[size]
  # A small model is annealed; the paper keeps the learning rate
  config.optimizer.decay_steps = 0 if size == "paper" else (
      config.emulation.steps
  )
  config.emulation.batch = 64  # networks a step
  config.emulation.sequences = 1  # rollouts of each
  config.emulation.mask_padding = True  # leave out what follows EOS
  config.emulation.augment = "permutation"  # for encoders not invariant
  config.emulation.validate_every = {"tiny": 100, "small": 500}.get(size, 1000)
  config.emulation.validation_sequences = 4
  config.emulation.checkpoint_every = config.emulation.validate_every
  config.emulation.split_seed = 0
  config.emulation.seed = 0
  return config


_INTERROGATION = {
    "tiny": {"length": 8, "hidden": 32, "layers": 1, "decoder": 32},
    "small": {"length": 22, "hidden": 128, "layers": 2, "decoder": 128},
    "paper": {"length": 22, "hidden": 256, "layers": 2, "decoder": 128},
}
# Fields of each encoder's Config that differ from its defaults
ENCODERS = {
    "constant": {"tiny": {}, "small": {}, "paper": {}},
    "interactive": _INTERROGATION,
    "statistics": {
        "tiny": {"hidden": 64, "layers": 1},
        "small": {"hidden": 256, "layers": 3},
        "paper": {"hidden": 768, "layers": 3},
    },
}
