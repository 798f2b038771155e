"""Predicts what a network does, from its weights.

    python -m experiments.embed --encoder=DIR --weights=lstm.safetensors

DIR is a folder that experiments.export_encoder made, or the name of an encoder
that comes with the package. The file is a state dict of torch, with an
nn.LSTM, nn.GRU or nn.RNN, a Linear that reads it, and perhaps an nn.Embedding
or Linear below it: .safetensors, or .pt where torch is installed.

A state dict does not show what stands between these, such as a ReLU. To check
that nothing does, save inputs and outputs of the model itself,

    np.savez("check.npz", inputs=tokens, outputs=model(tokens).detach())

and add --verify_with=check.npz.
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
_EMBEDDING = flags.DEFINE_string(
    "embedding",
    None,
    "Name of the Embedding or Linear below the recurrent module, where several"
    " fit; none: there is none.",
)
_VERIFY_WITH = flags.DEFINE_string(
    "verify_with",
    None,
    "An .npz with inputs and outputs of the model, with which the network is"
    " compared: [steps, batch, size], [batch, steps, size] or [steps, size];"
    " inputs may be integer tokens, outputs those of the last step.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    1e-4,
    "Largest difference from these outputs, in units of the largest of them,"
    " or of 1 if that is more.",
    0.0,
)
_NEIGHBOURS = flags.DEFINE_integer("neighbours", 5, "Networks to show.", 0)
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")


def main() -> None:
  """Launches `PretrainedEncoder.examine`."""
  import json
  from pathlib import Path

  from weightspace import pretrained
  from weightspace.interop import ArgumentNames, torch
  from weightspace.io import npz
  from weightspace.pretrained import examination

  encoder = pretrained.load_encoder(_ENCODER.value)
  prefix, verify_with = _PREFIX.value, None
  if _VERIFY_WITH.value is not None:
    names = "inputs", "outputs"
    arrays = npz.read(Path(_VERIFY_WITH.value), names)
    verify_with = tuple(arrays[name] for name in names)
  network = torch.load(
      _WEIGHTS.value,
      recurrent=prefix if prefix is None else prefix or "",
      readout=_READOUT.value,
      embedding=_EMBEDDING.value,
      verify_with=verify_with,
      tolerance=_TOLERANCE.value,
      names=ArgumentNames(
          "--prefix", "--readout", "--embedding", "--verify_with"
      ),
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
