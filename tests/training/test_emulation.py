"""Emulation: what counts in its loss, and who knows what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import divergences, parallel, tasks, zoo
from weightspace.training import batches, draws
from weightspace.training import model as model_lib
from weightspace.training.config import parse
from weightspace.training.objectives import emulation
from weightspace.zoo import loader

ROWS = 12
EOS = 5
SIZES = {
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "encoder": {"name": "statistics", "hidden": 8, "layers": 1, "code": 4},
}
CONSTANT = {**SIZES, "encoder": {"name": "constant", "code": 4}}


class Setup:
  """A model for the tiny zoo, its functions compiled."""

  def __init__(self, path, sizes, **config):
    self.zoo_ = zoo.open(path)
    self.family = tasks.make(
        self.zoo_.spec.family, self.zoo_.spec.family_config
    )
    fields = {"batch": 4, "sequences": 2, **config}
    parsed = parse({**sizes, "emulation": fields})
    self.config = parsed.training
    self.model = model_lib.make(
        self.zoo_.rnns, self.family, self.zoo_.spec.snapshot_steps, parsed
    )
    self.emulator = emulation.make_emulator(
        self.model.scope, parsed.parts["emulator"]
    )
    self.params = jax.jit(self.model.init)(jax.random.key(0))
    data = loader.load(self.zoo_, np.arange(ROWS))
    self.data = data._replace(columns={})
    size = model_lib.make_size(self.model, [ROWS], self.config.batch)
    loss = model_lib.make_loss(
        self.model, size, self.config.matmul_precision
    )
    rows = (draws.Rows.of(jax.random.key(0), np.arange(ROWS)),)
    self.loss = jax.jit(
        lambda params, key, step, data: loss(
            params, key, step, batches.Split(rows, (data,))
        )[0]
    )

  def __call__(self, data=None, params=None, step=0):
    return float(
        self.loss(
            self.params if params is None else params,
            jax.random.key(1),
            jnp.int32(step),
            self.data if data is None else data,
        )
    )


@pytest.fixture(scope="module")
def setup(tiny_zoo):
  return functools.cache(
      lambda name, **config: Setup(
          tiny_zoo, CONSTANT if name == "constant" else SIZES, **config
      )
  )


def after_eos(data):
  """Steps [R, K, T] at which an EOS was read before or now."""
  return np.cumsum(data.sequences[:, :, :-1] == EOS, axis=2) > 0


def test_steps_after_eos_change_nothing(setup):
  masked = setup("statistics")
  padding = after_eos(masked.data)
  assert 0.05 < np.mean(padding) < 0.95
  other = np.roll(masked.data.log_probs, 1, axis=-1)
  changed = np.where(padding[..., None], other, masked.data.log_probs)
  assert masked(masked.data._replace(log_probs=changed)) == masked()
  counted = np.where(padding[..., None], masked.data.log_probs, other)
  assert masked(masked.data._replace(log_probs=counted)) != masked()
  # What is read after EOS does not matter either
  tokens = masked.data.sequences.copy()
  late = np.pad(padding[..., :-1], ((0, 0), (0, 0), (2, 0)))
  tokens[late] = 0
  assert masked(masked.data._replace(sequences=tokens)) == pytest.approx(
      masked(), abs=1e-6
  )


def test_they_count_where_nothing_is_masked(setup):
  unmasked = setup("statistics", mask_padding=False)
  other = np.roll(unmasked.data.log_probs, 1, axis=-1)
  padding = after_eos(unmasked.data)
  changed = np.where(padding[..., None], other, unmasked.data.log_probs)
  assert unmasked(unmasked.data._replace(log_probs=changed)) != unmasked()


@pytest.mark.slow
def test_measured_row_by_row_it_is_what_a_plain_loop_finds(setup):
  one = setup("statistics")
  rows = jax.tree.map(lambda leaf: leaf[: ROWS - 1], one.data)  # fill a batch
  names = ("total_variation", "kl")
  means, spread = (
      model_lib.make_measure(
          emulation.make_measure(
              one.config, one.model.scope, one.emulator, names
          ),
          one.config.batch, mesh,
      )(one.params, (rows,))
      for mesh in (None, parallel.mesh(parallel.DATA))
  )
  for name in names:
    assert means[name].shape == (ROWS - 1,)
    np.testing.assert_allclose(spread[name], means[name], rtol=1e-4)
  apply = jax.jit(one.emulator.apply)
  encode = jax.jit(one.model.encoders[0].apply)
  count = min(one.config.validation_sequences, one.data.sequences.shape[1])
  for row in (0, 5, ROWS - 2):
    weights = one.zoo_.rnn.unflatten(jnp.asarray(one.data.vectors[row]))
    code = encode(one.params["encoder"], weights)
    losses = {name: [] for name in names}
    for k in range(count):
      sequence = one.data.sequences[row, k]
      inputs = one.family.encode(one.data.task[row], sequence[None])
      emulated = apply(one.params["emulator"], code[None], inputs)[:, 0]
      steps = ~after_eos(one.data)[row, k]
      original = one.data.log_probs[row, k].astype(np.float32)
      for name, values in losses.items():
        each = divergences.load(name)(original, emulated)
        values.append(np.mean(np.asarray(each)[steps]))
    for name, values in losses.items():
      np.testing.assert_allclose(means[name][row], np.mean(values), rtol=1e-4)


def test_a_constant_code_knows_nothing_of_the_weights(setup):
  baseline, model = setup("constant"), setup("statistics")
  for one in (baseline, model):
    other = one.data._replace(vectors=one.data.vectors[::-1] + 1)
    assert (one(other) == one()) == (one is baseline)
  assert baseline.params["encoder"] == {}


def test_gradients_reach_the_encoder(setup):
  one = setup("statistics")
  gradient = jax.jit(jax.grad(one.loss))(
      one.params, jax.random.key(1), jnp.int32(0), one.data
  )
  for leaf in jax.tree.leaves(gradient):
    assert np.all(np.isfinite(leaf))
  for part in ("encoder", "emulator"):
    leaves = jax.tree.leaves(gradient[part])
    assert sum(float(jnp.sum(jnp.abs(leaf))) for leaf in leaves) > 0


def test_each_step_sees_other_networks(setup):
  one = setup("statistics")
  losses = {one(step=step) for step in range(3)}
  assert len(losses) == 3
  assert one(step=1) == one(step=1)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"divergence": "reverse_lk"}, "did you mean 'reverse_kl'"),
        ({"augment": "flip"}, "must be 'permutation', 'signed' or 'none'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    emulation.Config(**fields)
