"""The whole study: `reproduce.py:SIZE`, of smoke, small and paper.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/reproduce.py:small

A part that is None is left out: `configs/quickstart.py` leaves out most.

smoke  tiny zoos and encoders, in minutes on 2 cores: for tests.
small  1000 networks on languages, 400 on digits and 1000 on secret paths, 1000
       steps each; about eight hours on 2 cores without the zoos' generation.
paper  the paper's zoos, sizes, 100,000 steps and 15 seeds, for an accelerator.
"""

from ml_collections import ConfigDict

from weightspace.errors import UserError

SIZES = ("smoke", "small", "paper")
LANGUAGES, DIGITS, PATHS = "formal_language", "tiled_mnist", "secret_path"
PROBING = ("noninteractive", "interactive")
PAPER = (  # the encoders of the paper, and its baseline
    "constant", "statistics", "flat", "transformer", "dws", *PROBING,
)  # fmt: skip
FIXED, ASKING = "noninteractive, at its best", "interactive, at its best"
_READ = ("truth", "dws, maximal basis", "dws, signed", "hybrid", "deep_linear")
ENCODERS = {
    LANGUAGES: (*PAPER, *_READ, FIXED, ASKING, "listening", "dialogue"),
    DIGITS: (*PAPER, *_READ, FIXED, ASKING, "watching"),
    PATHS: ("constant", "dws", "noninteractive", "interactive"),
}
END_TO_END = {  # those that are trained on labels alone too
    LANGUAGES: (*PAPER, FIXED, ASKING, "listening"),
    DIGITS: (*PAPER, FIXED, ASKING, "watching"),
    PATHS: ENCODERS[PATHS],
}
_DWS = {
    "dws, maximal basis": {"base": "dws", "encoder": {"basis": "maximal"}},
    # Channels of each parity: there are up to three of a matrix
    "dws, signed": {
        "base": "dws", "encoder": {"symmetry": "signed", "channels": 8},
    },
}
_DIGITS = {"start": "inputs", "parallel": 8, "length": 50}
# Names that encoders go by, with the plug-in that each is and the fields in
# which it differs from that of its size
DEFINITIONS = {
    LANGUAGES: {
        **_DWS,
        FIXED: {
            "base": "noninteractive",
            "encoder": {"start": "inputs", "reads": "answers"},
        },
        ASKING: {
            "base": "interactive",
            "encoder": {"start": "samples", "reads": "state+sums"},
        },
    },
    DIGITS: {
        **_DWS,
        FIXED: {
            "base": "noninteractive",
            "encoder": {**_DIGITS, "reads": "answers"},
        },
        ASKING: {
            "base": "interactive",
            "encoder": {**_DIGITS, "reads": "state+answers"},
        },
    },
    # One sequence of 8 steps: as many queries as a path has bits
    PATHS: {
        name: {"base": name, "encoder": {"parallel": 1, "length": 8}}
        for name in PROBING
    },
}
TITLE = "Learning useful representations of recurrent network weight matrices"


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  from experiments.configs import prediction
  from zoo_gen.configs import formal_languages, secret_paths, tiled_mnist

  if size not in SIZES:
    raise UserError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  of_size = "tiny" if size == "smoke" else size
  config = ConfigDict()
  config.size = size
  config.title = TITLE
  config.claims = True  # whether to say what holds of what was claimed
  # Of splits, including that of OOD tasks, and of figures; the first seed of
  # training
  config.seed = 0
  config.encoders = ConfigDict(ENCODERS)
  config.definitions = ConfigDict(DEFINITIONS)
  config.zoos = ConfigDict({  # families, each with the config of its zoo
      LANGUAGES: formal_languages.get_config(of_size),
      DIGITS: tiled_mnist.get_config(of_size),
      PATHS: secret_paths.get_config("tiny" if size == "smoke" else "small"),
  })
  config.models = of_size  # a size of experiments/configs/emulation.py
  config.resamples = 1000  # of each bootstrap

  # Every encoder and baseline has the same trials: the grid of learning rates
  # and warm-ups
  config.search = ConfigDict()
  config.search.learning_rates = (1e-3, 3e-3)
  config.search.warmups = (0.025,)  # fractions of the steps
  config.search.emulation = _each(300, 300, 300)  # steps of a trial
  config.search.supervised = _each(200, 100, 100)
  config.emulation = ConfigDict()
  config.emulation.seeds = 3
  config.emulation.steps = _each(3000, 2000, 2000)

  config.supervised = ConfigDict()  # end-to-end, without emulation
  config.supervised.seeds = 2
  config.supervised.steps = _each(1200, 600, 600)
  config.supervised.encoders = ConfigDict(END_TO_END)
  # Hidden layers of heads: for digits none, as frozen codes get no MLPs there
  config.supervised.layers = _each(2, 0, 2)

  config.properties = ConfigDict(
      {**prediction.PROPERTIES, PATHS: ("task", "accuracy")}
  )
  config.heads = ConfigDict()  # on frozen codes
  # Values of fields to try, every combination; forms are tried anyway
  config.heads.trials = ConfigDict()
  # Other fields of weightspace.evaluation.prediction.Config
  config.heads.fields = ConfigDict({
      family: {
          "forms": prediction.FORMS.get(family, ("mlp", "linear")),
          "steps": prediction.STEPS.get(family, 2000),
      }
      for family in config.zoos
  })
  config.heads.resamples = 200  # of their metrics, which take time

  config.clones = ConfigDict()
  config.clones.networks = 100  # of validation and of held-out tasks

  # Encoders with other values of some fields; see `configs/ingredients.py`
  config.variants = ConfigDict({
      "sequences": {
          "variants": _sequences((1, 2, 4, 8), (7, 12, 22, 42)),
          "steps": {LANGUAGES: 1500}, "seeds": 1,
      },
      "queries": {
          "variants": _queries((4, 16, 64, 128)),
          "steps": {PATHS: 2000}, "seeds": 3,
      },
  })  # fmt: skip

  config.few_labels = ConfigDict()
  config.few_labels.networks = (1, 2, 4, 8, 16, 32)  # labelled
  config.few_labels.pretrained = _few_labels()
  config.few_labels.scratch = _few_labels()
  config.few_labels.steps = 400
  config.few_labels.seeds = 2

  config.codes = ConfigDict()
  config.codes.rows = 800  # shown of each zoo
  config.codes.final = False  # whether these are final snapshots alone
  config.codes.perplexity = 30.0  # of t-SNE
  config.codes.weights = True  # whether raw weights are shown beside codes
  config.codes.neighbours = (1, 5, 10)  # k
  config.codes.twins = 256  # networks whose equivalent twins are encoded too
  config.codes.interrogations = True  # of all networks shown

  if size == "smoke":
    del config.zoos[PATHS], config.encoders, config.few_labels
    config.encoders = PAPER
    # Few languages, so that several networks have each
    config.zoos[LANGUAGES].task.update({"shift_min": 0, "shift_max": 1})
    config.zoos[LANGUAGES].networks = 48
    config.resamples = 50
    config.search.learning_rates = (3e-3,)
    # Trials are as long as what they are for, and so compiled for both
    config.search.emulation = _each(40, 40)
    config.search.supervised = _each(20, 20)
    config.emulation.update({"seeds": 2, "steps": _each(40, 40)})
    config.supervised.update({"steps": _each(20, 20)})
    config.heads.fields = ConfigDict({"steps": 100, "validate_every": 5})
    config.clones.networks = 20
    config.variants.sequences.variants = _sequences((2,), (4,))
    config.variants.sequences.steps = {LANGUAGES: 10}
    del config.variants["queries"]
    config.few_labels = ConfigDict({
        "networks": (1, 2), "steps": 20, "seeds": 1,
        "pretrained": PROBING, "scratch": PROBING,
    })  # fmt: skip
    config.codes.update({"rows": 60, "perplexity": 5.0})
  if size == "paper":
    config.search.learning_rates = (1e-4, 3e-4)
    config.search.emulation = _each(10_000)
    config.search.supervised = _each(5000)
    config.emulation.update({"seeds": 15, "steps": _each(100_000)})
    config.supervised.update({"seeds": 15, "steps": _each(50_000)})
    config.clones.networks = 1000
    config.variants.sequences.update({"steps": _each(100_000), "seeds": 5})
    config.variants.queries.update({"steps": {PATHS: 100_000}, "seeds": 15})
    config.few_labels.update({"steps": 5000, "seeds": 5})
    config.codes.rows = 3000
  return config


def _sequences(parallel, length):
  """Probing with M sequences of L steps each, one of them varied."""
  return ConfigDict({
      f"{encoder}, {letter}={value}": {
          "base": encoder, "encoder": {field: value},
      }
      for encoder in PROBING
      for letter, field, values in (
          ("M", "parallel", parallel), ("L", "length", length),
      )
      for value in values
  })  # fmt: skip


def _queries(parallel):
  """Fixed probes with more and more sequences."""
  return ConfigDict({
      f"noninteractive, M={value}": {
          "base": "noninteractive", "encoder": {"parallel": value},
      }
      for value in parallel
  })  # fmt: skip


def _few_labels():
  return ConfigDict({
      LANGUAGES: ("statistics", "dws", FIXED, ASKING, "listening"),
      DIGITS: ("statistics", "dws", FIXED, ASKING, "watching"),
      PATHS: ("dws", "noninteractive", "interactive"),
  })


def _each(languages, digits=None, paths=None):
  """A value for each family; by default the first."""
  return ConfigDict({
      LANGUAGES: languages,
      DIGITS: languages if digits is None else digits,
      PATHS: languages if paths is None else paths,
  })
