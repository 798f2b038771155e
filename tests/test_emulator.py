"""The emulator: a loop over steps, given the code once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import cells, emulator
from weightspace.rnn import RNNSpec, make_rnn

T, B, I, V, Z = 7, 3, 4, 5, 6  # noqa: E741


@functools.cache
def example(cell="lstm", conditioning="first"):
  config = emulator.Config(cell, 8, 2, conditioning)
  model = emulator.make(config, code=Z, inputs=I, outputs=V)
  model = model._replace(apply=jax.jit(model.apply))
  random = np.random.default_rng(0)
  codes = random.standard_normal((B, Z), np.float32)
  inputs = random.standard_normal((T, B, I), np.float32)
  return model, jax.jit(model.init)(jax.random.key(0)), codes, inputs


@pytest.mark.parametrize("conditioning", emulator.CONDITIONING)
@pytest.mark.parametrize("cell", cells.names())
def test_it_is_a_loop_over_steps_that_is_given_the_code(cell, conditioning):
  model, params, codes, inputs = example(cell, conditioning)
  actual = model.apply(params, codes, inputs)
  assert actual.shape == (T, B, V)
  assert actual.dtype == jnp.float32

  rnn = make_rnn(RNNSpec(cell, (8, 8), 8, V))
  step = jax.jit(rnn.step)
  for b in range(B):
    state = rnn.initial_state(())
    for t in range(T):
      x = inputs[t, b] @ np.asarray(params["embedding"])
      if t == 0 or conditioning == "every":
        x = x + codes[b] @ np.asarray(params["code"])
      state, logits = step(params["rnn"], state, x)
      np.testing.assert_allclose(
          actual[t, b], jax.nn.log_softmax(logits), rtol=1e-4, atol=1e-5
      )


@pytest.mark.parametrize("conditioning", emulator.CONDITIONING)
def test_step_by_step_it_is_the_same(conditioning):
  model, params, codes, inputs = example("gru", conditioning)
  state = model.initial_state((B,))
  for x, expected in zip(inputs, model.apply(params, codes, inputs)):
    state, actual = model.step(params, codes, state, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_conditioning_is_refused():
  with pytest.raises(ValueError, match="conditioning must be one of first, ev"):
    emulator.Config(conditioning="last")


def test_answers_are_log_probabilities():
  model, params, codes, inputs = example()
  actual = model.apply(params, codes, inputs)
  np.testing.assert_allclose(np.exp(actual).sum(axis=-1), 1, rtol=1e-5)


def test_no_answer_depends_on_what_comes_later_or_on_other_examples():
  model, params, codes, inputs = example()
  before = np.asarray(model.apply(params, codes, inputs))
  changed = inputs.copy()
  changed[4, 1] += 1
  after = np.asarray(model.apply(params, codes, changed))
  np.testing.assert_array_equal(after[:4], before[:4])
  np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])
  assert np.all(after[4:, 1] != before[4:, 1])


def test_every_number_of_the_code_matters():
  model, params, codes, inputs = example()
  last = jax.jit(
      jax.jacobian(lambda codes: model.apply(params, codes, inputs)[-1, 0])
  )
  slopes = last(codes)[:, 0]
  assert np.all(np.max(np.abs(slopes), axis=0) > 0)


def test_one_code_serves_many_sequences():
  model, params, codes, inputs = example()
  code = codes[0]
  several = np.broadcast_to(code, (2, B, Z))
  actual = model.apply(params, several, np.stack([inputs] * 2, axis=1))
  alone = model.apply(params, code, inputs[:, 1])
  assert actual.shape == (T, 2, B, V)
  np.testing.assert_allclose(actual[:, 0, 1], alone, rtol=1e-4, atol=1e-5)


def test_the_spec_of_the_core_is_the_configs():
  paper = emulator.Config()
  assert (paper.cell, paper.hidden, paper.layers) == ("lstm", 256, 2)
  model = emulator.make(paper, code=16, inputs=6, outputs=6)
  params = jax.eval_shape(model.init, jax.random.key(0))
  assert params["embedding"].shape == (6, 256)
  assert params["code"].shape == (16, 256)
  assert [layer.wh.shape for layer in params["rnn"].layers] == [
      (4, 256, 256)
  ] * 2
