"""Other families than the paper's: `worlds.py:WORLD[,SIZE]`, tiny or small.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/worlds.py:regular_language

WORLD is regular_language, dyck_language, modular_sum, bandit, or an environment
of policies: cartpole, pendulum, memory_chain, umbrella_chain. A study of
encoders that read weights and of such that run the networks, without a search
of hyper-parameters; see `configs/reproduce.py` for its fields.

tiny   a zoo of 24 networks and short training, for tests.
small  2000 networks on automata, 500 on brackets or sums, 200 that swing up a
       pendulum, or 400 of the others; two seeds.
"""

from ml_collections import ConfigDict

from experiments.configs.reproduce import ASKING, FIXED
from weightspace.errors import UserError

AUTOMATA, BRACKETS, SUMS = "regular_language", "dyck_language", "modular_sum"
BANDITS = "bandit"
ENVIRONMENTS = ("cartpole", "pendulum", "memory_chain", "umbrella_chain")
SIZES = ("tiny", "small")
NETWORKS = {AUTOMATA: 2000, BRACKETS: 500, SUMS: 500}
# Of emulation; validation is lowest before. None: as the models' size has it
STEPS = {SUMS: 1000}
WATCHING = "watching, short words"
_READ = ("constant", "truth", "statistics", "dws")
ENCODERS = {
    AUTOMATA: (*_READ, FIXED, ASKING, "listening", WATCHING),
    BRACKETS: (*_READ, FIXED, ASKING, "listening", WATCHING),
    **dict.fromkeys(
        (SUMS, BANDITS, *ENVIRONMENTS), (*_READ, FIXED, ASKING, "watching")
    ),
}
# Words so short that few of them hold most of the prefixes of that length
_SHORT = {"parallel": 32, "length": 8}
_WORDS = {
    FIXED: {
        "base": "noninteractive",
        "encoder": {"start": "inputs", "reads": "answers", **_SHORT},
    },
    ASKING: {
        "base": "interactive",
        "encoder": {"start": "samples", "reads": "state+sums"},
    },
    WATCHING: {
        "base": "watching", "encoder": {**_SHORT, "parallel": 64, "every": 1},
    },
}  # fmt: skip


def _reals(length):
  """Probes of that length, which start as inputs of other networks."""
  start = {"start": "inputs", "parallel": 8, "length": length}
  return {
      FIXED: {
          "base": "noninteractive", "encoder": {**start, "reads": "answers"},
      },
      ASKING: {
          "base": "interactive", "encoder": {**start, "reads": "state+answers"},
      },
  }  # fmt: skip


DEFINITIONS = {
    AUTOMATA: _WORDS,
    BRACKETS: _WORDS,
    SUMS: _reals(23),
    BANDITS: _reals(40),
    "cartpole": _reals(40),
    "pendulum": _reals(40),
    "memory_chain": _reals(14),
    "umbrella_chain": _reals(14),
}


def get_config(what: str) -> ConfigDict:
  """The config of a world and one of `SIZES`."""
  from experiments.configs import prediction, quickstart

  world, _, size = what.partition(",")
  size = size or "small"
  for name, one, there in (("world", world, ENCODERS), ("size", size, SIZES)):
    if one not in there:
      raise UserError(f"no {name} {one!r}; there are: {', '.join(there)}")
  zoo = _zoo(world, size)
  family = zoo.family
  heads = prediction.get_config(family).to_dict()
  steps = None
  if size == "tiny":
    heads |= {"steps": 100, "resamples": 50}
  else:
    zoo.networks = NETWORKS.get(world, zoo.networks)
    steps = STEPS.get(world)
  return quickstart.of_heads(
      family,
      heads,
      title="Other worlds",
      size=size,
      encoders={family: ENCODERS[world]},
      definitions={family: DEFINITIONS[world]},
      zoos={family: zoo},
      models="tiny" if size == "tiny" else "quickstart",
      emulation={"seeds": 2, "steps": {family: steps}},
  )


def _zoo(world, size):
  from zoo_gen.configs import (
    bandits,
    dyck_languages,
    modular_sums,
    policies,
    regular_languages,
  )

  if world in ENVIRONMENTS:
    return policies.get_config(f"{world},{size}")
  configs = {
      AUTOMATA: regular_languages,
      BRACKETS: dyck_languages,
      SUMS: modular_sums,
      BANDITS: bandits,
  }
  return configs[world].get_config(size)
