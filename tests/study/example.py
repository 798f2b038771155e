"""A study of seconds: one small zoo, two encoders, a few steps of each."""

from experiments.configs import reproduce
from tests import tiny_zoo

FAMILY = "formal_language"
TASK = {**tiny_zoo.CONFIG["task"], "shift_min": 0, "shift_max": 1}
NETWORKS = 26


def config():
  found = reproduce.get_config("smoke")
  found.zoos = {FAMILY: {}}
  found.encoders = ("constant", "interactive")
  found.search.warmups = (0.0, 0.5)
  for part in (found.emulation, found.supervised, found.variants.stability):
    part.steps = {FAMILY: 4}
  found.search.emulation = found.search.supervised = {FAMILY: 4}
  found.heads.fields = {"steps": 20, "validate_every": 10}
  found.clones.networks = 5
  variants = found.variants
  variants.sequences.variants = {
      name: variants.sequences.variants[name] for name in ("interactive, L=4",)
  }
  variants.sequences.steps = {FAMILY: 2}
  del variants.stability.variants["interactive, hard probes"]
  del variants.stability.variants["interactive, own samples"]
  found.few_labels.update({
      "networks": (1, 2), "pretrained": ("interactive",),
      "scratch": ("interactive",), "steps": 2,
  })  # fmt: skip
  found.codes.update({"rows": 30, "neighbours": (1, 2)})
  found.resamples = 20
  return found.to_dict()


def make_zoo(path):
  return tiny_zoo.generate(path, task=TASK, networks=NETWORKS)
