"""Encoders that were never trained, of a zoo that there is not."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.interop import networks
from weightspace import encoders, heads, properties, tasks
from weightspace.pretrained import Ensemble, PretrainedEncoder, Reference
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.zoo import ZooSpec

SHAPES = RNNSpec("lstm", (3,), 6, 6), RNNSpec("elman", (2, 4), 6, 6)
PROBING = {
    "name": "interactive", "parallel": 2, "length": 3, "hidden": 4,
    "layers": 1, "decoder": 5, "code": 4,
}  # fmt: skip
READING = {"name": "statistics", "hidden": 4, "layers": 1, "code": 4}
STEPS = (0, 10, 100)
MEMBERS, ROWS = 3, 12


def make(encoder=PROBING, shapes=SHAPES, with_heads=True):
  """A `PretrainedEncoder` with random params, heads and table."""
  family = tasks.make("formal_language", {})
  spec = ZooSpec(
      family="formal_language",
      family_config={},
      rnns=shapes,
      trainer={},
      num_networks=8,
      shard_size=4,
      snapshot_steps=STEPS,
      rollouts=2,
      seed=0,
      task_names=family.spec.task_names,
      metric_names=family.spec.metric_names,
  )
  fields = dict(encoder)
  name = fields.pop("name")
  functions = encoders.make(
      name, fields, make_rnn(shapes[0]), encoders.Inputs("token")
  )
  return PretrainedEncoder(
      config={"encoder": dict(encoder)},
      params=_random(functions.init),
      zoo=spec,
      tasks=family.spec,
      ensembles=tuple(map(_ensemble, ("accuracy", "task") * with_heads)),
      reference=_reference(len(shapes)) if with_heads else None,
      about={"commit": "abc"},
  )


def _ensemble(name):
  scope = properties.Scope(tasks.make("formal_language", {}).spec, STEPS)
  config = heads.Config(hidden=5, layers=1)
  head = heads.make(config, properties.load(name), scope, 4)
  keys = jax.random.split(jax.random.key(0), MEMBERS)
  n = 1 if name == "accuracy" else 0
  return Ensemble(
      name,
      config,
      _random(jax.vmap(head.init), keys),
      np.full((MEMBERS, n), 0.5, np.float32),
      np.arange(1, 1 + MEMBERS, dtype=np.float32)[:, None][:, :n],
      widening=np.full(n, 2, np.float32),
      metrics={"test": {"r2": {"value": 0.5, "low": 0.4, "high": 0.6}}},
  )


def _reference(shapes):
  generator = np.random.default_rng(0)
  codes = generator.standard_normal((ROWS, 4)).astype(np.float32)
  distinct = np.array([[0, 0, 0], [1, -1, 2]], np.float32)
  place = np.arange(ROWS, dtype=np.int32)
  return Reference(
      codes=codes / np.linalg.norm(codes, axis=1, keepdims=True),
      net_id=place // 3,
      step=np.array(STEPS, np.int32)[place % 3],
      accuracy=generator.random(ROWS, np.float32),
      shape=place % shapes,
      task=place % 2,
      tasks=distinct,
      descriptions=("a^n b^n c^n d^n", "a^n b^(n+1) c^(n-1) d^(n+2)"),
  )


def weights(spec, seed=0):
  return networks.fill(make_rnn(spec), seed)


def batch(spec, size):
  networks_of_size = [weights(spec, seed) for seed in range(size)]
  return jax.tree.map(lambda *leaves: np.stack(leaves), *networks_of_size)


def _random(init, key=None):
  """What `init` returns, but drawn with NumPy, which compiles nothing."""
  generator = np.random.default_rng(0)
  return jax.tree.map(
      lambda leaf: jnp.asarray(
          generator.standard_normal(leaf.shape).astype(leaf.dtype)
      ),
      jax.eval_shape(init, jax.random.key(0) if key is None else key),
  )


def assert_same(a, b):
  """Everything of two encoders, arrays bit for bit."""
  assert (a.config, a.zoo, a.tasks, a.about) == (
      b.config, b.zoo, b.tasks, b.about
  )  # fmt: skip
  trees = [(e.params, e.ensembles, e.reference) for e in (a, b)]
  assert jax.tree.structure(trees[0]) == jax.tree.structure(trees[1])
  for x, y in zip(*map(jax.tree.leaves, trees)):
    if not hasattr(x, "dtype"):
      assert x == y
    else:
      assert x.dtype == y.dtype and x.shape == y.shape
      assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
