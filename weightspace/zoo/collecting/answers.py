"""What networks answer on their inputs, and what they write themselves."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import precision
from weightspace.keys import derive, make_key
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.tasks import TaskFamily, recorded
from weightspace.zoo import replay
from weightspace.zoo.collecting.inputs import Inputs
from weightspace.zoo.spec import ZooSpec

_ROWS_AT_ONCE = 8
_BYTES_AT_ONCE = 2**27


def make(
    spec: ZooSpec, family: TaskFamily, shape: RNNSpec, inputs: Inputs
) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
  """Compiles, at the first call, what networks of a shape answer.

  Args:
    spec: of the zoo.
    family: of its tasks.
    shape: of the networks.
    inputs: that they read.

  Returns:
    (vectors [n, P], net_id [n], step [n], task [n, D], advance) -> sequences
    [n, K, ...] and log_probs [n, K, T, V] float16; `advance` is called with
    numbers of rows that are done. A row's bits depend on its place among the n.
  """
  rnn = make_rnn(shape)
  count, steps = inputs.shape
  samples = spec.rollouts - count

  def one(vector, net_id, step, task, sequences):
    with precision.products("float32"):
      log_probs = replay.answers(family, rnn, vector, task, sequences)
      log_probs = log_probs.astype(jnp.float16)
      if not samples:
        return sequences, log_probs
      key = derive(make_key(spec.seed), "samples", net_id, step)
      own = family.rollouts(key, task, rnn, rnn.unflatten(vector), samples)
    return (
        jnp.concatenate([sequences, own.sequences]),
        jnp.concatenate([log_probs, own.log_probs]),
    )

  compiled = jax.jit(jax.vmap(one))
  row_bytes = 4 * spec.rollouts * steps * (
      shape.inputs + shape.outputs + 4 * sum(shape.hidden)
  )
  at_once = min(_ROWS_AT_ONCE, max(1, _BYTES_AT_ONCE // row_bytes))

  def answer(vectors, net_id, step, task, advance):
    parts = []
    for start in range(0, len(vectors), at_once):
      # The last ones are repeated, so that one compilation serves all
      at = np.minimum(start + np.arange(at_once), len(vectors) - 1)
      sequences = recorded.to_sequences(*inputs.of(net_id[at]), shape.inputs)
      done = jax.device_get(
          compiled(vectors[at], net_id[at], step[at], task[at], sequences)
      )
      kept = min(at_once, len(vectors) - start)
      parts.append([array[:kept] for array in done])
      advance(kept)
    return tuple(map(np.concatenate, zip(*parts)))

  return answer
