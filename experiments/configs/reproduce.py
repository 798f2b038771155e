"""The whole study: `reproduce.py:SIZE`, of smoke, small and paper.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/reproduce.py:small

A part that is None is left out: `configs/quickstart.py` leaves out most.

smoke  tiny zoos and encoders, in minutes on 2 cores: for tests.
small  1000 networks on languages and 400 on digits, 1000 steps each; about two
       hours on 2 cores without the zoos' generation.
paper  the paper's zoos, sizes, 100,000 steps and 15 seeds, for an accelerator.
"""

from ml_collections import ConfigDict

from weightspace.errors import UserError

SIZES = ("smoke", "small", "paper")
ENCODERS = (
    "constant", "statistics", "flat", "transformer", "dws", "noninteractive",
    "interactive",
)  # fmt: skip
PROBING = ("noninteractive", "interactive")
LANGUAGES, DIGITS = "formal_language", "tiled_mnist"
TITLE = "Learning useful representations of recurrent network weight matrices"


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  from experiments.configs import prediction
  from zoo_gen.configs import formal_languages, tiled_mnist

  if size not in SIZES:
    raise UserError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  of_size = "tiny" if size == "smoke" else size
  config = ConfigDict()
  config.size = size
  config.title = TITLE
  # Of splits, including that of OOD tasks, and of figures; the first seed of
  # training
  config.seed = 0
  config.encoders = ENCODERS
  config.zoos = ConfigDict({  # families, each with the config of its zoo
      LANGUAGES: formal_languages.get_config(of_size),
      DIGITS: tiled_mnist.get_config(of_size),
  })
  config.models = of_size  # a size of experiments/configs/emulation.py
  config.resamples = 1000  # of each bootstrap

  # Every encoder and baseline has the same trials: the grid of learning rates
  # and warm-ups
  config.search = ConfigDict()
  config.search.learning_rates = (1e-3, 3e-3)
  config.search.warmups = (0.025, 0.2)  # fractions of the steps
  config.search.emulation = _each(250, 120)  # steps of a trial
  config.search.supervised = _each(150, 80)
  config.emulation = ConfigDict()
  config.emulation.seeds = 3
  config.emulation.steps = _each(1200, 400)

  config.supervised = ConfigDict()  # end-to-end, without emulation
  config.supervised.seeds = 2
  config.supervised.steps = _each(500, 150)

  config.properties = ConfigDict(dict(prediction.PROPERTIES))
  config.heads = ConfigDict()  # on frozen codes
  # Every combination is tried, as for the encoders
  config.heads.trials = ConfigDict({
      "learning_rate": (3e-4, 3e-3), "layers": (0, 2),
  })  # fmt: skip
  # Other fields of weightspace.evaluation.prediction.Config
  config.heads.fields = ConfigDict({"steps": 1000, "validate_every": 50})
  config.heads.resamples = 200  # of their metrics, which take time

  config.clones = ConfigDict()
  config.clones.networks = 100  # of validation and of held-out tasks

  # Encoders with other values of some fields; see `configs/ingredients.py`
  config.variants = ConfigDict({
      "sequences": {
          "variants": _sequences((1, 2, 4, 8), (7, 12, 22, 42)),
          "steps": {LANGUAGES: 400}, "seeds": 1,
      },
      "stability": {
          "variants": STABILITY, "steps": {LANGUAGES: 1200}, "seeds": 3,
      },
  })  # fmt: skip

  config.few_labels = ConfigDict()
  config.few_labels.networks = (1, 2, 4, 8, 16, 32)  # labelled
  config.few_labels.pretrained = ("statistics", "dws", *PROBING)
  config.few_labels.scratch = ("statistics", "dws", *PROBING)
  config.few_labels.steps = 200
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
    # Few languages, so that several networks have each
    config.zoos[LANGUAGES].task.update({"shift_min": 0, "shift_max": 1})
    config.zoos[LANGUAGES].networks = 48
    config.resamples = 50
    config.search.learning_rates = (3e-3,)
    config.search.warmups = (0.2,)
    # Trials are as long as what they are for, and so compiled for both
    config.search.emulation = _each(40, 40)
    config.search.supervised = _each(20, 20)
    config.emulation.update({"seeds": 2, "steps": _each(40, 40)})
    config.supervised.update({"steps": _each(20, 20)})
    config.heads.trials = ConfigDict({
        "learning_rate": (3e-3,), "layers": (0, 2),
    })  # fmt: skip
    config.heads.fields = ConfigDict({"steps": 100, "validate_every": 5})
    config.clones.networks = 20
    config.variants.sequences.variants = _sequences((2,), (4,))
    config.variants.sequences.steps = {LANGUAGES: 10}
    config.variants.stability.update({"steps": {LANGUAGES: 40}, "seeds": 2})
    config.few_labels.update({"networks": (1, 2), "steps": 20, "seeds": 1})
    config.codes.update({"rows": 60, "perplexity": 5.0})
  if size == "paper":
    config.search.learning_rates = (1e-4, 3e-4)
    config.search.emulation = _each(10_000, 10_000)
    config.search.supervised = _each(5000, 5000)
    config.emulation.update({"seeds": 15, "steps": _each(100_000, 100_000)})
    config.supervised.update({"seeds": 15, "steps": _each(50_000, 50_000)})
    config.heads.fields = ConfigDict({"steps": 20_000, "validate_every": 1000})
    config.clones.networks = 1000
    config.variants.sequences.update({
        "steps": _each(100_000, 100_000), "seeds": 5,
    })  # fmt: skip
    config.variants.stability.update({
        "steps": {LANGUAGES: 100_000}, "seeds": 15,
    })  # fmt: skip
    config.few_labels.update({"steps": 5000, "seeds": 5})
    config.codes.rows = 3000
  return config


# What may make interactive probing train more steadily; the paper states its
# spread over seeds as a weakness
STABILITY = {
    "interactive, hard probes": {
        "base": "interactive", "encoder": {"tokens": "hard"},
    },
    "interactive, own samples": {
        "base": "interactive", "encoder": {"start": "samples"},
    },
    "interactive, own samples, sums read": {
        "base": "interactive",
        "encoder": {"start": "samples", "reads": "state+sums"},
    },
}  # fmt: skip


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


def _each(languages, digits):
  return ConfigDict({LANGUAGES: languages, DIGITS: digits})
