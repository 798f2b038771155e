"""RNNs that compute secret paths, built by hand: no training.

The network for w in {0, 1}^d reads BOS and then bits; after t bits p it answers
f_w(p): the next bit w_t while what it read follows w, OFF from then on. One
unit starts the walk, unit t is on while the first t bits were right, and all
of them saturate, so that they are on (+1) or off (-1).
"""

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import cells
from weightspace.errors import UserError
from weightspace.rnn import RNN, RNNSpec, make_rnn
from weightspace.types import Layer, Linear, Weights

BOS = OFF = 2  # after the bits 0 and 1, among what is read and what is written
TOKENS = 3
# Constant biases that make a unit of the cell forget its state and take over
# what its odd gate says: sign by gate
_OPEN = {
    "elman": {},
    "lstm": {0: 1.0, 1: -1.0, 3: 1.0},  # i, f, o
    "gru": {0: 1.0, 1: -1.0},  # r, z
}
_GATE_BIAS = 20.0  # the logistic function is 1 to float32 there


def make(cell: str, depth: int, hidden: int | None = None) -> RNN:
  """The shape of the networks of all w in {0, 1}^depth.

  Args:
    cell: "elman", "lstm" or "gru".
    depth: d, bits of w.
    hidden: units, at least d + 1; those beyond are idle.

  Raises:
    ValueError: too few units, or a cell that nobody knows how to build with.
  """
  hidden = depth + 1 if hidden is None else hidden
  if cell not in _OPEN:
    raise UserError(
        f"no secret path was built of {cell!r} units, only of"
        f" {', '.join(_OPEN)}"
    )
  if depth < 1 or hidden < depth + 1:
    raise UserError(
        f"a secret path of depth {depth} needs a depth of at least 1 and"
        f" {depth + 1} units, got {hidden}"
    )
  return make_rnn(RNNSpec(cell, (hidden,), TOKENS, TOKENS))


def build(
    rnn: RNN,
    word: jax.Array,
    *,
    gain: float = 12.0,
    threshold: float = 0.6,
    contrast: float = 30.0,
) -> Weights:
  """The weights of the network of w, in closed form.

  With s the value of a unit that is on and a = the threshold, the odd gate's
  pre-activations are

      clock  gain
      on_0   gain (1/2 - clock / s)
      on_t   gain (on_(t-1) / s + clock / s + 2 (b - a - 1)),  t > 0

  where b is x[1] if the bit that on_t waits for is 1 and 1 - x[1] if it is 0:
  what is not 1 is read as 0, BOS too. All units are 0 before the first step and
  the clock is on after it: it lets on_0 be on once, and the others from the
  second step.

  Args:
    rnn: from `make`.
    word: [d] int32, the bits of w.
    gain: how steeply units saturate.
    threshold: how much of a soft token must be the right bit for the walk to
      go on. Above 1/2, so that two ways are never walked at a time.
    contrast: how far the logit of an answer that is given is above that of a
      bit that is not; OFF lies half-way.

  Returns:
    Weights; float32.
  """
  (hidden,) = rnn.spec.hidden
  cell, depth = cells.load(rnn.spec.cell), len(word)
  (odd,) = cell.odd_gates
  constant = np.zeros((cell.gates, 1), np.float32)
  for gate, sign in _OPEN[rnn.spec.cell].items():
    constant[gate] = sign * _GATE_BIAS
  level = _level_of_on(cell, jnp.asarray(constant).at[odd].set(_GATE_BIAS))

  bits = jax.nn.one_hot(word, 2, dtype=jnp.float32)  # [d, 2]
  waits_for = bits[:-1, 1]  # what on_1, on_2, ... go on at
  on = 1 + np.arange(depth)  # the clock is unit 0
  wx = jnp.zeros((hidden, TOKENS), jnp.float32)
  wx = wx.at[on[1:], 1].set(2 * gain * (2 * waits_for - 1))
  wh = jnp.zeros((hidden, hidden), jnp.float32).at[on[0], 0].set(-gain / level)
  wh = wh.at[on[1:], on[:-1]].set(gain / level)
  wh = wh.at[on[1:], 0].set(gain / level)
  bias = jnp.zeros(hidden, jnp.float32).at[0].set(gain).at[on[0]].set(gain / 2)
  bias = bias.at[on[1:]].set(-2 * gain * (threshold + waits_for))
  w = jnp.zeros((TOKENS, hidden), jnp.float32)
  w = w.at[:2, on].set(contrast / 2 / level * bits.T)
  b = jnp.append(contrast / 2 * jnp.sum(bits, axis=0), contrast / 2)

  def in_odd_gate(rows):
    return jnp.zeros((cell.gates, *rows.shape), jnp.float32).at[odd].set(rows)

  layer = Layer(
      wx=in_odd_gate(wx),
      wh=in_odd_gate(wh),
      bx=in_odd_gate(bias) + constant,
      bh=jnp.zeros((cell.gates, hidden), jnp.float32),
  )
  return Weights((layer,), Linear(w, b))


def _level_of_on(cell, saturated):
  """What a unit puts out that is on: 1, or tanh 1 if it is an LSTM's."""
  state = cell.initial_state((1,), jnp.float32)
  state = cell.step(state, saturated, jnp.zeros_like(saturated))
  return cell.output(state)[0]
