"""Random networks that objectives are checked on, and encoders of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import tasks
from weightspace.encoders import Encoder
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training.objectives import Scope

BATCH = 24  # rows of a batch; the config of an objective must say so
STEPS = (0, 10, 20, 30)  # that there may be snapshots of
SPECS = (RNNSpec("lstm", (3,), 6, 6), RNNSpec("gru", (4,), 6, 6))
CODE = 5


class Networks:
  """Random networks of two shapes with what a zoo knows of them."""

  def __init__(self, snapshots: int, rollouts: int):
    """Networks of so many snapshots each, `BATCH` rows in all."""
    self.rnns = tuple(map(make_rnn, SPECS))
    self.path = "random networks"
    networks = BATCH // snapshots
    rows = networks * snapshots
    generator = np.random.default_rng(0)
    # Two thirds are of the first shape
    of_shape = np.arange(networks) >= 2 * networks // 3
    self.shapes = np.repeat(of_shape.astype(int), snapshots)
    self.columns = {
        "task": generator.integers(-1, 2, (rows, 3)).astype(np.int32),
        "step": np.tile(np.array(STEPS, np.int32)[:snapshots], networks),
        "net_id": np.repeat(np.arange(networks, dtype=np.int32), snapshots),
        "weight_decay": generator.random(rows).astype(np.float32),
        "finite": np.ones(rows, bool),
        "accuracy": generator.random(rows).astype(np.float32),
    }
    length = family().spec.length
    self.sequences = generator.integers(
        0, 4, (rows, rollouts, length + 1)
    ).astype(np.int8)
    logits = generator.standard_normal((rows, rollouts, length, 6))
    total = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    self.log_probs = (logits - total).astype(np.float16)
    self._vectors = [
        generator.standard_normal((rows, rnn.size)).astype(np.float32)
        for rnn in self.rnns
    ]

  def __len__(self):
    return len(self.shapes)

  def vectors(self, rows: np.ndarray) -> np.ndarray:
    """Weights of rows of one shape, [n, P]."""
    return self._vectors[self.shapes[rows[0]]][rows]

  def weights(self, rows: np.ndarray):
    """The same as a pytree."""
    rnn = self.rnns[self.shapes[rows[0]]]
    return jax.vmap(rnn.unflatten)(jnp.asarray(self.vectors(rows)))


@functools.cache
def family() -> tasks.TaskFamily:
  """What the networks do."""
  sizes = {"length": 12, "max_n": 3, "shift_min": -1, "shift_max": 1}
  return tasks.make("formal_language", sizes)


def encoder_of(rnn) -> Encoder:
  """An invariant linear map of moments of all weights.

  It draws something in training where `params["noise"]` is not 0.
  """

  def init(key):
    linear = jax.random.normal(key, (4, CODE))
    return {"linear": linear, "noise": jnp.zeros(())}

  def apply(params, weights, key=None):
    vector = rnn.flatten(weights)
    moments = [jnp.mean(vector**power) for power in (1, 2, 3, 4)]
    code = jnp.stack(moments) @ params["linear"]
    if key is not None:
      noise = jax.lax.stop_gradient(params["noise"])
      code = code + noise * jax.random.normal(key, code.shape)
    return code / jnp.sqrt(jnp.sum(code**2) + 1e-6)

  return Encoder(init, apply, invariant=True)


def scope(mesh=None) -> Scope:
  """A scope of these networks and encoders."""
  rnns = tuple(map(make_rnn, SPECS))
  return Scope(rnns, tuple(map(encoder_of, rnns)), family(), STEPS, mesh)
