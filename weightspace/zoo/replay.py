"""Whether stored rollouts are what the weights of a network make of them."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily

# Another order of the sums of a matrix product changes a logit's last bits
LOG_PROB_TOLERANCE = {"rtol": 1e-2, "atol": 1e-2}
# Pixels in float16 were rounded after networks had read them. Where a network
# is undecided, that is enough to change what it says at some steps.
ROUNDED_SHARE = 0.05
IMPOSSIBLE = -20.0  # a uniform float32 never gets below 2^-24, about exp(-16.6)


def answers(
    family: TaskFamily,
    rnn: RNN,
    vector: jax.Array,
    task: jax.Array,
    sequences: jax.Array,
) -> jax.Array:
  """What a network says on stored sequences.

  Args:
    family: that the sequences are of.
    rnn: the shape of the network.
    vector: its weights, [P].
    task: [D].
    sequences: [K, ...].

  Returns:
    [K, T, V] float32, log-probabilities.
  """
  inputs = family.encode(task, sequences)
  log_probs = jax.nn.log_softmax(rnn.unroll(rnn.unflatten(vector), inputs))
  return jnp.swapaxes(log_probs, 0, 1)


def problems(
    family: TaskFamily,
    sequences: np.ndarray,
    log_probs: np.ndarray,
    replayed: np.ndarray,
) -> Iterator[str]:
  """What is wrong with the rollouts of a row, a line each.

  Args:
    family: that the sequences are of.
    sequences: [K, ...], as stored.
    log_probs: [K, T, V] float16, as stored.
    replayed: [K, T, V] float32, what `answers` returns.
  """
  spec, stored = family.spec, log_probs.astype(np.float32)
  # What float16 cannot hold is -inf there
  replayed = np.where(replayed < -65000, -np.inf, replayed)
  same = np.isclose(stored, replayed, equal_nan=True, **LOG_PROB_TOLERANCE)
  wrong_steps = ~np.all(same, axis=2)
  wrong = np.flatnonzero(np.any(wrong_steps, axis=1))
  # A network that acts has read just what is stored
  rounded = sequences.dtype.kind == "f" and family.experience is None
  if len(wrong) and np.mean(wrong_steps) > (ROUNDED_SHARE if rounded else 0):
    yield (
        f"log_probs of rollouts {_list(wrong)} are not what the network says"
        " on these sequences"
    )
  if spec.kind != "token":
    return
  # Sequences that the network did not write end in -1, which pads them too
  given = sequences[:, -1] == -1
  written = np.flatnonzero(~given)
  outside = (sequences < 0) | (sequences >= spec.inputs)
  outside &= ~(given[:, None] & (sequences == -1))
  outside = np.any(outside, axis=1)
  if np.any(outside):
    yield (
        f"sequences {_list(np.flatnonzero(outside))} hold what is no token: not"
        f" in [0, {spec.inputs})"
    )
    return
  drawn = sequences[written, 1:, None].astype(np.int64)
  chances = np.take_along_axis(replayed[written], drawn, axis=2)
  impossible = written[np.any(chances[..., 0] < IMPOSSIBLE, axis=1)]
  if len(impossible):
    yield (
        f"sequences {_list(impossible)} hold symbols that the network would"
        " never draw"
    )


def _list(numbers, most=8):
  text = ", ".join(map(str, numbers[:most]))
  return text + (", ..." if len(numbers) > most else "")
