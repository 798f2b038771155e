"""Predicts what a network does, from its weights.

    python -m experiments.embed --encoder=DIR --weights=lstm.safetensors

DIR is a folder that experiments.export_encoder made, or the name of an encoder
that comes with the package. The file is a state dict of torch, with an
nn.LSTM, nn.GRU or nn.RNN and a Linear: .safetensors, or .pt where torch is
installed.
"""

from absl import flags

from weightspace import launch

_ENCODER = flags.DEFINE_string("encoder", None, "Folder or name of it.")
_WEIGHTS = flags.DEFINE_string("weights", None, "File of the network.")
_PREFIX = flags.DEFINE_list(
    "prefix",
    None,
    "Names of the recurrent module in it, where there are several; more than"
    " one is a stack. --prefix= is one without a name.",
)
_READOUT = flags.DEFINE_string(
    "readout", None, "Name of the Linear, where there are several."
)
_NEIGHBOURS = flags.DEFINE_integer("neighbours", 5, "Networks to show.", 0)
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")


def main() -> None:
  """Launches `PretrainedEncoder.examine`."""
  import json

  from weightspace import pretrained
  from weightspace.interop import torch
  from weightspace.pretrained import examination

  encoder = pretrained.load_encoder(_ENCODER.value)
  prefix = _PREFIX.value
  network = torch.load(
      _WEIGHTS.value,
      recurrent=prefix if prefix is None else prefix or "",
      readout=_READOUT.value,
  )
  result = encoder.examine(
      network.weights, network.rnn, neighbours=_NEIGHBOURS.value
  )
  if _JSON.value:
    print(json.dumps(examination.to_json(result), indent=2))
  else:
    print(examination.to_text(result))


if __name__ == "__main__":
  launch.run(main, required=("encoder", "weights"))
