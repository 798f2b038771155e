"""The main job in minutes: `quickstart.py:SIZE`, of full and tiny.

A study of one zoo, four encoders and one seed, without a search of
hyper-parameters; see `configs/reproduce.py` for its fields.
"""

from ml_collections import ConfigDict

ENCODERS = ("constant", "truth", "statistics", "listening")
NOTES = {
    "tiny": (
        "This is a trial, to see that everything works: networks of 8 units"
        " trained for 60 steps, encoders trained for 200. Its numbers say"
        " nothing about the method; python -m experiments.quickstart, without"
        " --size=tiny, is the smallest study that does."
    ),
    "full": (
        "This is a small study: one-layer networks of 16 units trained for 500"
        " steps, and encoders trained for 1500 steps of 64 networks. The"
        " paper's zoo has 1000 two-layer networks of 32 units, trained for"
        " 20,000 steps with nine snapshots each, and its encoders see 6.4"
        " million networks in 100,000 steps with cores and emulators of 256"
        " units. It"
        " counts the padding after the end of a string, which is easy to"
        " emulate; here only what comes before counts. To go there: python -m"
        " zoo_gen.generate --config=zoo_gen/configs/formal_languages.py:paper,"
        " then python -m experiments.pretrain"
        " --config=experiments/configs/emulation.py:interactive,paper; both are"
        " meant for an accelerator."
    ),
}


def get_config(size: str = "full", seed: int = 0) -> ConfigDict:
  """The config of a size."""
  from experiments.configs import prediction
  from zoo_gen.configs import formal_languages

  of_size = {"full": "quickstart", "tiny": "tiny"}[size]
  zoo_config = formal_languages.get_config(of_size)
  zoo_config.seed = seed
  heads = prediction.get_config().to_dict()
  if size == "tiny":
    heads |= {"steps": 200, "resamples": 50}
  return of_heads(
      zoo_config.family,
      heads | {"seed": seed},
      title="What recurrent networks do, read from their weights",
      size=size,
      note=NOTES[size],
      encoders=ENCODERS,
      zoos={zoo_config.family: zoo_config},
      zoo_folders={zoo_config.family: "zoo"},  # WORKDIR/zoo
      models=of_size,
  )


def of_heads(family: str, heads, **fields) -> ConfigDict:
  """A study that pretrains, trains heads, tests and shows codes: no more.

  Args:
    family: of its only zoo.
    heads: a config of `configs/prediction.py`, as a dict.
    **fields: of the study, in the place of these or beside them.
  """
  heads = dict(heads)
  config = ConfigDict({
      **dict.fromkeys(
          ("search", "supervised", "clones", "few_labels", "variants")
      ),
      "seed": heads.pop("seed"),
      "resamples": 1000,
      "emulation": {"seeds": 1, "steps": {family: None}},
      "properties": {family: heads.pop("properties")},
      "heads": {
          "trials": {}, "resamples": heads.pop("resamples"), "fields": heads,
      },
      "codes": {
          "rows": 1500, "final": True, "perplexity": None, "weights": False,
          "neighbours": (), "twins": 0, "interrogations": False,
      },
  })  # fmt: skip
  config.update(fields)
  return config
