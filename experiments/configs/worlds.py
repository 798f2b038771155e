"""Languages of other shapes: `worlds.py:FAMILY[,SIZE]`, tiny or small.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/worlds.py:regular_language

FAMILY is regular_language, dyck_language or modular_sum. A study of encoders
that read weights and of such that run the networks, without a search of
hyper-parameters; see `configs/reproduce.py` for its fields.

tiny   a zoo of 24 networks and short training, for tests.
small  2000 networks on automata, or 500 on brackets or sums; two seeds.
"""

from ml_collections import ConfigDict

from weightspace.errors import UserError

AUTOMATA, BRACKETS, SUMS = "regular_language", "dyck_language", "modular_sum"
SIZES = ("tiny", "small")
NETWORKS = {AUTOMATA: 2000, BRACKETS: 500, SUMS: 500}
# Of emulation; validation is lowest before. None: as the models' size has it
STEPS = {AUTOMATA: None, BRACKETS: None, SUMS: 1000}
FIXED, ASKING = "noninteractive, at its best", "interactive, at its best"
WATCHING = "watching, short words"
_READ = ("constant", "truth", "statistics", "dws")
ENCODERS = {
    AUTOMATA: (*_READ, FIXED, ASKING, "listening", WATCHING),
    BRACKETS: (*_READ, FIXED, ASKING, "listening", WATCHING),
    SUMS: (*_READ, FIXED, ASKING, "watching"),
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
_DIGITS = {"start": "inputs", "parallel": 8, "length": 23}
DEFINITIONS = {
    AUTOMATA: _WORDS,
    BRACKETS: _WORDS,
    SUMS: {
        FIXED: {
            "base": "noninteractive",
            "encoder": {**_DIGITS, "reads": "answers"},
        },
        ASKING: {
            "base": "interactive",
            "encoder": {**_DIGITS, "reads": "state+answers"},
        },
    },
}


def get_config(what: str) -> ConfigDict:
  """The config of a family and one of `SIZES`."""
  from experiments.configs import prediction, quickstart
  from zoo_gen.configs import dyck_languages, modular_sums, regular_languages

  family, _, size = what.partition(",")
  size = size or "small"
  zoos = {
      AUTOMATA: regular_languages,
      BRACKETS: dyck_languages,
      SUMS: modular_sums,
  }
  for name, one, there in (("family", family, zoos), ("size", size, SIZES)):
    if one not in there:
      raise UserError(f"no {name} {one!r}; there are: {', '.join(there)}")
  zoo = zoos[family].get_config(size)
  heads = prediction.get_config(family).to_dict()
  steps = None
  if size == "tiny":
    heads |= {"steps": 100, "resamples": 50}
  else:
    zoo.networks, steps = NETWORKS[family], STEPS[family]
  return quickstart.of_heads(
      family,
      heads,
      title="Languages of other shapes",
      size=size,
      encoders={family: ENCODERS[family]},
      definitions={family: DEFINITIONS[family]},
      zoos={family: zoo},
      models="tiny" if size == "tiny" else "quickstart",
      emulation={"seeds": 2, "steps": {family: steps}},
  )
