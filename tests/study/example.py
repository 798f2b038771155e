"""A study of seconds: one small zoo, two encoders, a few steps of each."""

from experiments.configs import reproduce
from tests import tiny_zoo

FAMILY = "formal_language"
TASK = {**tiny_zoo.CONFIG["task"], "shift_min": 0, "shift_max": 1}
NETWORKS = 26


def config():
  config = reproduce.get_config("smoke")
  config.zoos = {FAMILY: {}}
  config.encoders = ("constant", "interactive")
  config.search.learning_rates = (1e-3,)
  config.search.warmups = (0.5,)
  for part in (config.emulation, config.supervised):
    part.steps = {FAMILY: 4}
  config.search.emulation = config.search.supervised = {FAMILY: 4}
  config.heads.fields = {"steps": 20, "validate_every": 10}
  # Several trials here alone, where they compile quickly
  config.heads.trials = {"learning_rate": (3e-3, 1e-2), "layers": (0,)}
  config.clones.networks = 5
  config.variants = {"sizes": {
      "variants": {"constant, 4 numbers": {
          "base": "constant", "encoder": {"code": 4},
      }},
      "steps": {FAMILY: 4}, "seeds": 2,
  }}  # fmt: skip
  config.few_labels.update({
      "networks": (1, 2), "pretrained": ("interactive",),
      "scratch": ("interactive",), "steps": 4,
  })  # fmt: skip
  config.codes.update({"rows": 30, "neighbours": (1, 2)})
  config.resamples = 20
  return config.to_dict()


def make_zoo(path):
  return tiny_zoo.generate(path, task=TASK, networks=NETWORKS)
