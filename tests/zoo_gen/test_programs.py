"""Programs compiled ahead of time: their precision, and what fits a device."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny_zoo
from weightspace import cells, parallel, precision, tasks
from weightspace.rnn import RNNSpec, make_rnn
from zoo_gen import programs as programs_module
from zoo_gen.programs import Programs, compile_programs, compile_to_fit
from zoo_gen.trainer import Recipe, make_trainer

FAMILY = tasks.make("formal_language", tiny_zoo.CONFIG["task"])
# Of a dot in StableHLO: its precision, or the algorithm that stands for it
REACHED = {
    "float32": r"precision = \[HIGHEST, HIGHEST\]",
    "tensorfloat32": r"precision = \[HIGH, HIGH\]",
    "bfloat16": r"lhs_precision_type = bf16, rhs_precision_type = bf16,"
    r" accumulation_type = f32",
}


def make(group=1, *, cell="elman", hidden=(3,), devices=1, **changes):
  recipe = Recipe(**{**tiny_zoo.CONFIG["recipe"], **changes})
  mesh = parallel.mesh(parallel.NETWORKS, jax.devices()[:devices])
  rnn = make_rnn(RNNSpec(cell, hidden, 6, 6))
  return make_trainer(
      recipe, FAMILY, rnn, seed=3, rollouts=2, mesh=mesh, group=group
  )


def dots(function, *args):
  """The lines of the matrix products in a function as JAX lowers it.

  For an accelerator: on CPU some of them are inside of kernels.
  """
  traced = jax.jit(function).trace(*args)
  text = traced.lower(lowering_platforms=("tpu",)).as_text()
  return [line for line in text.splitlines() if "dot_general" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell, name",
    [
        *(("lstm", name) for name in precision.NAMES),
        *((cell, "bfloat16") for cell in cells.names() if cell != "lstm"),
    ],
)
def test_a_precision_reaches_all_products_of_training(cell, name):
  trainer = make(cell=cell, hidden=(4, 3), matmul_precision=name)
  net_ids = jnp.arange(1, dtype=jnp.int32)
  state = jax.eval_shape(trainer.init, net_ids)
  lines = dots(trainer.segment, state, net_ids, jnp.int32(0), jnp.int32(1))
  # Of each layer: two of the forward pass, three of gradients, and sums of
  # biases; those of gradients are made by a custom rule.
  assert len(lines) >= 2 * 5 + 3
  assert all(re.search(REACHED[name], line) for line in lines)


def test_what_a_zoo_keeps_is_measured_in_float32():
  trainer = make(matmul_precision="bfloat16")
  net_ids = jnp.arange(1, dtype=jnp.int32)
  state = jax.eval_shape(trainer.init, net_ids)
  lines = dots(trainer.snapshot, state, net_ids, jnp.int32(0))
  assert lines
  assert all(re.search(REACHED["float32"], line) for line in lines)


@jax.custom_vjp
def rounded_product(a, b):
  """`a @ b` of inputs rounded to bfloat16, as are those of its gradients."""
  return _rounded(a) @ _rounded(b)


def _rounded(x):
  return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


rounded_product.defvjp(
    lambda a, b: (rounded_product(a, b), (a, b)),
    lambda ab, d: (
        rounded_product(d, ab[1].T),
        rounded_product(ab[0].T, d),
    ),
)


def unroll_in_bfloat16(rnn):
  """What `rnn.unroll` computes where the backend knows bfloat16."""
  cell = cells.load(rnn.spec.cell)

  def project(w, b, x):
    product = rounded_product(x, w.reshape(-1, w.shape[-1]).T)
    return product.reshape(len(x), *b.shape) + b[None]

  def unroll(weights, xs):
    def step(states, x):
      new = []
      for layer, state in zip(weights.layers, states):
        u = project(layer.wx, layer.bx, x)
        v = project(layer.wh, layer.bh, cell.output(state))
        new.append(cell.step(state, u, v))
        x = cell.output(new[-1])
      return tuple(new), project(weights.readout.w, weights.readout.b, x)

    return jax.lax.scan(step, rnn.initial_state(xs.shape[1:-1]), xs)[1]

  return unroll


@pytest.mark.slow
def test_training_in_bfloat16_ends_as_in_float32():
  """Not every CPU knows bfloat16, so that it is emulated here."""
  family = tasks.make("secret_path", {"depth": 4, "eval_strings": 32})
  sizes = family.spec.inputs, family.spec.outputs
  rnn = make_rnn(RNNSpec("gru", (6,), *sizes))
  recipe = Recipe(
      snapshot_steps=(60,), batch=16, learning_rates=(0.05, 0.03, 0.003)
  )
  mesh = parallel.mesh(parallel.NETWORKS, jax.devices()[:1])
  net_ids = jnp.arange(24, dtype=jnp.int32)
  ends = []
  for unroll in (rnn.unroll, unroll_in_bfloat16(rnn)):
    trainer = make_trainer(
        recipe, family, rnn._replace(unroll=unroll), seed=0, rollouts=1,
        mesh=mesh, group=24,
    )  # fmt: skip
    state = trainer.segment(trainer.init(net_ids), net_ids, 0, 60)
    row = jax.device_get(trainer.snapshot(state, net_ids, 60))
    ends.append((state.vectors, np.mean(row["accuracy"]), row["loss"].mean()))
  (a, accuracy, loss), (b, rounded_accuracy, rounded_loss) = ends
  assert np.max(np.abs(a - b)) > 1e-3  # they did round
  assert accuracy > 0.8
  assert abs(rounded_accuracy - accuracy) < 0.03
  np.testing.assert_allclose(rounded_loss, loss, rtol=0.1)


def test_a_recipe_refuses_other_precisions():
  with pytest.raises(ValueError, match="'half' is none of float32, tensor"):
    Recipe(matmul_precision="half")


@functools.cache
def compiled(group):
  return compile_programs(make(group, devices=2), 4)


@pytest.mark.slow
def test_programs_do_what_the_trainer_does():
  trainer, programs = make(2, devices=2), compiled(2)
  assert programs.size == 4
  assert programs.group == 2
  assert programs.seconds > 0
  net_ids = jax.device_put(
      np.arange(4, dtype=np.int32), parallel.sharded(trainer.mesh)
  )
  ends = []
  for functions in (trainer, programs):
    state = functions.init(net_ids)
    state = functions.segment(state, net_ids, jnp.int32(0), jnp.int32(3))
    ends.append((state, functions.snapshot(state, net_ids, jnp.int32(3))))
  jax.tree.map(np.testing.assert_array_equal, *ends)


@pytest.mark.slow
def test_a_larger_group_needs_more_memory():
  states = 2 * 3 * 4 * make_rnn(RNNSpec("elman", (3,), 6, 6)).size
  assert states < compiled(1).bytes < compiled(2).bytes


FIXED, EACH = 1000, 7


@pytest.fixture
def needs(monkeypatch):
  """Programs that need `FIXED` bytes and `EACH` more for each network.

  The compiler runs out of memory above the number that the test sets.
  """
  limits = {"compiler": 10**9}

  def compile_group(trainer, size):
    tried.append(trainer.group)
    needed = FIXED + EACH * trainer.group
    if needed > limits["compiler"]:
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of hbm")
    return Programs(size, trainer.group, *[None] * 3, 0.0, needed)

  tried = []
  monkeypatch.setattr(programs_module, "compile_programs", compile_group)
  return tried, limits


class Fake:
  """As much of a trainer as choosing a group looks at: on two devices."""

  def __init__(self, group):
    self.group = group
    self.mesh = parallel.mesh(parallel.NETWORKS, jax.devices()[:2])

  def round_up(self, count):
    return -(-count // (2 * self.group)) * 2 * self.group


def test_all_are_one_group_where_they_fit(needs):
  programs = compile_to_fit(Fake, 200, memory=FIXED + 100 * EACH)
  assert programs.size == 200
  assert needs[0] == [100]


@pytest.mark.parametrize("most", [1, 2, 3, 10, 33, 49, 50, 51, 99])
@pytest.mark.parametrize("compiler", [10**9, FIXED + 60 * EACH])
def test_else_as_few_groups_as_fit(needs, most, compiler):
  needs[1]["compiler"] = compiler
  programs = compile_to_fit(Fake, 200, memory=FIXED + most * EACH)
  group = programs.group
  assert group <= most
  assert programs.size - 200 < 2 * group  # hardly any are trained twice
  assert len(needs[0]) < 12
  if compiler == 10**9:  # then memory is known to be linear
    assert -(-100 // group) == -(-100 // most)


def test_a_group_that_is_asked_for_and_does_not_fit_is_refused(needs):
  memory = FIXED + 30 * EACH
  with pytest.raises(ValueError, match="set --group=25, or leave") as refused:
    compile_to_fit(Fake, 200, group=80, memory=memory)
  assert "training 80 networks at a time needs" in str(refused.value)
  assert compile_to_fit(Fake, 200, group=25, memory=memory).size == 200


def test_a_shard_too_large_for_any_group_is_refused(needs):
  with pytest.raises(ValueError, match="shard_size smaller"):
    compile_to_fit(Fake, 200, memory=FIXED)


def test_other_failures_of_the_compiler_are_not_hidden(needs, monkeypatch):
  def fail(trainer, size):
    raise jax.errors.JaxRuntimeError("INTERNAL: broken")

  monkeypatch.setattr(programs_module, "compile_programs", fail)
  with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
    compile_to_fit(Fake, 200, memory=10**9)


def test_cpus_do_not_tell_their_memory():
  assert programs_module.usable_memory(jax.devices()[0]) is None
