"""The shape of LSTMs from the number of their parameters."""

from collections.abc import Mapping
from typing import Any

from weightspace.errors import UserError

_MOST_LAYERS = 16


def hidden(
    size: int, inputs: int, outputs: int, args: Mapping[str, Any]
) -> tuple[int, ...]:
  """The hidden sizes of a `torch.nn.LSTM` with a linear read-out.

  Args:
    size: number of its parameters, P.
    inputs: size of an input, I.
    outputs: size of an output, V.
    args: flags of the program that made it; decide where several shapes fit.

  Raises:
    ValueError: no shape fits, or none that `args` states, or several do.
  """
  stated = [args.get(n) for n in ("rnn_num_layers", "rnn_hidden_size")]
  fitting = fitting_shapes(size, inputs, outputs)
  if stated != [None, None]:
    fitting = [shape for shape in fitting if list(shape) == stated]
    if not fitting:
      raise UserError(
          f"args.json says rnn_num_layers={stated[0]},"
          f" rnn_hidden_size={stated[1]}, but an LSTM of that shape with"
          f" {inputs} inputs and {outputs} outputs has not as many parameters"
      )
  if not fitting:
    raise UserError(
        f"no LSTM of equal layers with {inputs} inputs and {outputs} outputs"
        " has as many parameters; the paper's, of 2 x 32, have"
        f" {_size(2, 32, inputs, outputs)}"
    )
  if len(fitting) > 1:
    shown = ", ".join(f"{layers} x {width}" for layers, width in fitting)
    raise UserError(
        f"LSTMs of {shown} have as many parameters; say which in args.json:"
        f' {{"rnn_num_layers": {fitting[0][0]},'
        f' "rnn_hidden_size": {fitting[0][1]}}}'
    )
  layers, width = fitting[0]
  return (width,) * layers


def fitting_shapes(
    size: int, inputs: int, outputs: int
) -> list[tuple[int, int]]:
  """All (layers, hidden units of each) that have `size` parameters."""
  shapes = []
  for layers in range(1, _MOST_LAYERS + 1):
    width = 1
    while (count := _size(layers, width, inputs, outputs)) < size:
      width += 1
    if count == size:
      shapes.append((layers, width))
  return shapes


def _size(layers, width, inputs, outputs):
  """Parameters of torch's LSTM, with two biases, and a linear read-out."""
  first = 4 * width * (inputs + width + 2)
  further = 4 * width * (width + width + 2)
  return first + (layers - 1) * further + outputs * (width + 1)
