"""Does an encoder tell what networks do that plain PyTorch trained?

    python -m experiments.torch_networks --encoder=formal_languages

Trains LSTMs by PyTorch alone, each with a seed of its own and on one of the
formal languages that are most unlike those which the encoder was trained on.
The encoder examines them. The last line is JSON: the share of languages that
were right, and the mean error of the predicted accuracy, compared with strings
sampled by PyTorch. With --write, the encoder's folder and its card keep that
line. Needs the extra `torch`.
"""

from absl import flags

from weightspace import launch
from weightspace.errors import MissingPackage

_ENCODER = flags.DEFINE_string(
    "encoder", "formal_languages", "Folder of an encoder, or a shipped one."
)
_NETWORKS = flags.DEFINE_integer("networks", 50, "LSTMs to train.", 1)
_STEPS = flags.DEFINE_integer("steps", 1000, "Of training each.", 1)
_HIDDEN = flags.DEFINE_integer("hidden", 32, "Units of each of two layers.", 1)
_SEED = flags.DEFINE_integer(
    "seed", 1000, "Of the first; others follow.", 0, 2**31
)
_WRITE = flags.DEFINE_bool("write", False, "Keep the result with the encoder.")


def main() -> None:
  """Launches `experiments.torch_networks.measure`."""
  import json

  try:
    from experiments.torch_networks import measure
  except ModuleNotFoundError as error:
    if error.name != "torch":
      raise
    raise MissingPackage(
        "the networks are trained by torch, which is not installed: pip install"
        " 'weightspace[torch]'"
    ) from error
  from weightspace import pretrained

  encoder = pretrained.load_encoder(_ENCODER.value)
  result = measure.measure(
      encoder,
      networks=_NETWORKS.value,
      hidden=_HIDDEN.value,
      steps=_STEPS.value,
      seed=_SEED.value,
  )
  print(json.dumps(result))
  if _WRITE.value:
    measure.replace(_ENCODER.value, encoder, result)


if __name__ == "__main__":
  launch.run(main)
