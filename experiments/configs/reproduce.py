"""The whole study: `reproduce.py:SIZE`, of smoke, small and paper.

    python -m experiments.reproduce --workdir=DIR \\
        --config=experiments/configs/reproduce.py:small

smoke  tiny zoos and encoders, in minutes on 2 cores: to see that all works.
small  1000 networks on languages and 400 on digits, 1000 steps each; about two
       hours on 2 cores beside the zoos' generation.
paper  the paper's zoos, sizes, 100,000 steps and 15 seeds, for an accelerator.
"""

from ml_collections import ConfigDict

SIZES = ("smoke", "small", "paper")
ENCODERS = (
    "constant", "statistics", "flat", "transformer", "dws", "noninteractive",
    "interactive",
)  # fmt: skip
PROBING = ("noninteractive", "interactive")
LANGUAGES, DIGITS = "formal_language", "tiled_mnist"


def get_config(size: str = "small") -> ConfigDict:
  """The config of one of `SIZES`."""
  from experiments.configs import prediction
  from zoo_gen.configs import formal_languages, tiled_mnist

  if size not in SIZES:
    raise ValueError(f"no size {size!r}; there are: {', '.join(SIZES)}")
  of_size = "tiny" if size == "smoke" else size
  config = ConfigDict()
  config.size = size
  config.seed = 0  # of splits, of which OOD tasks are the test, of pictures
  config.encoders = ENCODERS
  config.zoos = ConfigDict({  # families, each with the config of its zoo
      LANGUAGES: formal_languages.get_config(of_size),
      DIGITS: tiled_mnist.get_config(of_size),
  })
  config.models = of_size  # a size of experiments/configs/emulation.py
  config.resamples = 1000  # of each bootstrap

  # Every encoder and baseline gets the same trials: each learning rate with
  # each warm-up, validated after so many steps
  config.search = ConfigDict()
  config.search.learning_rates = (1e-3, 3e-3)
  config.search.warmups = (0.025, 0.2)  # shares of the steps
  config.search.emulation = _each(250, 120)  # steps of a trial
  config.search.supervised = _each(150, 80)
  config.emulation = ConfigDict()
  config.emulation.seeds = 3
  config.emulation.steps = _each(1200, 400)

  config.supervised = ConfigDict()  # end-to-end, without emulation
  config.supervised.seeds = 2
  config.supervised.steps = _each(500, 150)

  config.properties = ConfigDict(dict(prediction.PROPERTIES))
  config.heads = ConfigDict()  # on frozen codes; trials as for the encoders
  config.heads.learning_rates = (3e-4, 3e-3)
  config.heads.layers = (0, 2)
  config.heads.steps = 1000

  config.clones = ConfigDict()
  config.clones.networks = 100  # of validation and of held-out tasks

  config.ablations = ConfigDict()
  config.ablations.encoders = PROBING
  config.ablations.families = (LANGUAGES,)
  config.ablations.parallel = (1, 2, 4, 8)  # M
  config.ablations.length = (7, 12, 22, 42)  # L
  config.ablations.steps = _each(400, 400)
  config.ablations.seeds = 1

  config.remedies = ConfigDict()  # of interactive probing's unsteadiness
  config.remedies.encoder = "interactive"
  # Names in experiments.reproduction.remedies
  config.remedies.names = (
      "hard probes", "own samples", "own samples, sums read",
  )  # fmt: skip
  config.remedies.families = (LANGUAGES,)
  config.remedies.steps = _each(1200, 400)  # as emulation
  config.remedies.seeds = 3

  config.few_labels = ConfigDict()
  config.few_labels.networks = (1, 2, 4, 8, 16, 32)  # labelled
  config.few_labels.pretrained = ("statistics", "dws", *PROBING)
  config.few_labels.scratch = ("statistics", "dws", *PROBING)
  config.few_labels.steps = 200
  config.few_labels.seeds = 2

  config.codes = ConfigDict()
  config.codes.rows = 800  # shown of each zoo
  config.codes.perplexity = 30.0  # of t-SNE
  config.codes.neighbours = (1, 5, 10)  # k

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
    config.heads.update({"learning_rates": (3e-3,), "steps": 100})
    config.clones.networks = 20
    config.ablations.update({"steps": _each(10, 10), "seeds": 1})
    config.ablations.parallel, config.ablations.length = (2,), (4,)
    config.remedies.update({"steps": _each(40, 40), "seeds": 2})
    config.few_labels.update({"networks": (1, 2), "steps": 20, "seeds": 1})
    config.codes.update({"rows": 60, "perplexity": 5.0})
  if size == "paper":
    config.search.learning_rates = (1e-4, 3e-4)
    config.search.emulation = _each(10_000, 10_000)
    config.search.supervised = _each(5000, 5000)
    config.emulation.update({"seeds": 15, "steps": _each(100_000, 100_000)})
    config.supervised.update({"seeds": 15, "steps": _each(50_000, 50_000)})
    config.heads.steps = 20_000
    config.clones.networks = 1000
    config.ablations.update({
        "families": (LANGUAGES, DIGITS), "steps": _each(100_000, 100_000),
        "seeds": 5,
    })  # fmt: skip
    config.remedies.update({"steps": _each(100_000, 100_000), "seeds": 15})
    config.few_labels.update({"steps": 5000, "seeds": 5})
    config.codes.rows = 3000
  return config


def _each(languages, digits):
  return ConfigDict({LANGUAGES: languages, DIGITS: digits})
