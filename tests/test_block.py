"""Blocks of the parameter transformer: the kernel computes what Flax does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from weightspace import encoders, kernels, precision
from weightspace.encoders import _block
from weightspace.rnn import RNNSpec, make_rnn


def halves_serve(name):
  """Whether kernels have numbers in halves in products of that precision."""
  with precision.products(name):
    return kernels.serve_in_halves()


# How far norms of results and of gradients may be off; what the fewest
# processors have comes first
BOUNDS = {"tensorfloat32": (1e-3, 1e-3), "bfloat16": (1e-2, 0.07)}
PRECISE = [name for name in BOUNDS if halves_serve(name)]
needs_halves = pytest.mark.skipif(
    not PRECISE, reason="a processor without products of bfloat16"
)

# Networks, tokens, width, heads, units of the MLP, tokens kept: whole tiles
# and parts of them, several passes over rows, one token kept, several groups of
# networks
CASES = [
    (2, 64, 32, _block.Sizes(2, 64, 64)),
    (3, 17, 48, _block.Sizes(3, 96, 5)),
    (1, 135, 16, _block.Sizes(1, 16, 135)),
    (2, 70, 64, _block.Sizes(2, 32, 1)),
    (1, 1, 32, _block.Sizes(2, 48, 1)),
    (5, 83, 96, _block.Sizes(2, 80, 33)),
]


def make(networks, tokens, width, sizes):
  """Params that are not as regular as initial ones, and tokens."""
  x = jax.random.normal(jax.random.key(0), (networks, tokens, width))
  params = _block.Block(sizes).init(jax.random.key(1), x)["params"]
  leaves, tree = jax.tree.flatten(params)
  leaves = [
      leaf + 0.1 * jax.random.normal(jax.random.key(i), leaf.shape)
      for i, leaf in enumerate(leaves)
  ]
  return tree.unflatten(leaves), x


def run(sizes, precise, params, x):
  """The result, and gradients of a function of it."""

  def loss(params, x):
    with precision.products(precise):
      z = _block.apply(sizes, params, x)
    return jnp.sum(jnp.sin(z + jnp.arange(1.0 * z.size).reshape(z.shape))), z

  (_, z), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)
  return z, gradients


def assert_close(found, wanted, bound):
  """In norm: a unit of the MLP may be on the other side of 0."""
  whole = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(wanted)))
  for (path, a), b in zip(
      jax.tree_util.tree_leaves_with_path(found),
      jax.tree.leaves(wanted),
      strict=True,
  ):
    name = jax.tree_util.keystr(path)
    assert a.shape == b.shape, name
    norm = np.linalg.norm(b)
    if ("key" in name and "bias" in name) or norm < 1e-6:
      norm = whole / 20  # of which softmax takes no notice
    assert np.linalg.norm(a - b) <= bound * norm, name


@needs_halves
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("precise", PRECISE)
def test_the_kernel_computes_what_flax_does(case, precise):
  *_, sizes = case
  compiled = jax.jit(run, static_argnums=(0, 1))
  results = {
      name: compiled(sizes, name, *make(*case))
      for name in ("float32", *PRECISE)
  }
  for name, (z, _) in results.items():
    assert name == precise or not np.array_equal(z, results[precise][0])
  for found, wanted, bound in zip(
      results[precise], results["float32"], BOUNDS[precise], strict=True
  ):
    assert_close(found, wanted, bound)


@needs_halves
def test_nan_stays_in_its_network():
  *_, sizes = CASES[1]
  params, x = make(*CASES[1])
  compiled = jax.jit(run, static_argnums=(0, 1))
  z, (_, of_x) = compiled(
      sizes, PRECISE[0], params, x.at[1, 9, 2].set(jnp.nan)
  )
  wanted, (_, wanted_of_x) = compiled(sizes, PRECISE[0], params, x)
  assert np.isnan(z[1]).all()
  for i in 0, 2:
    np.testing.assert_array_equal(z[i], wanted[i])
    np.testing.assert_array_equal(of_x[i], wanted_of_x[i])


@needs_halves
def test_members_have_blocks_of_their_own():
  params, x = make(*CASES[1])
  several = jax.tree.map(lambda a: jnp.stack([a, 1.5 * a]), params)
  one = jax.jit(run, static_argnums=(0, 1))
  both = jax.vmap(lambda p: one(CASES[1][-1], PRECISE[0], p, x))(several)
  for i in range(2):
    alone = one(
        CASES[1][-1], PRECISE[0],
        jax.tree.map(lambda a, i=i: a[i], several), x,
    )  # fmt: skip
    jax.tree.map(
        lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), both, alone
    )


@needs_halves
def test_who_computes_it():
  def lowered(case, platform, name=PRECISE[0]):
    *_, sizes = case
    traced = jax.jit(run, static_argnums=(0, 1)).trace(
        sizes, name, *make(*case)
    )
    return traced.lower(lowering_platforms=(platform,)).as_text()

  assert "BlockBackward" in lowered(CASES[1], "cpu")
  assert "BlockForward" not in lowered(CASES[1], "cuda")
  assert "BlockForward" not in lowered(CASES[1], "cpu", "float32")
  uneven = 2, 9, 24, _block.Sizes(2, 32, 9)  # heads of 12 numbers
  assert "BlockForward" not in lowered(uneven, "cpu")


@needs_halves
def test_a_gradient_is_as_exact_as_its_block_where_flax_computes_it():
  *_, sizes = CASES[1]
  traced = jax.jit(run, static_argnums=(0, 1)).trace(
      sizes, "bfloat16", *make(*CASES[1])
  )
  text = traced.lower(lowering_platforms=("tpu",)).as_text()
  products = [line for line in text.splitlines() if "dot_general" in line]
  assert len(products) > 16
  assert all("lhs_precision_type = bf16" in line for line in products)


@pytest.mark.parametrize("name, bound", [
    ("float32", 1e-3), ("tensorfloat32", 1e-3), ("bfloat16", 5e-2),
])  # fmt: skip
def test_a_batch_is_encoded_as_its_networks_are(name, bound):
  rnn = make_rnn(RNNSpec("lstm", (5, 4), 3, 3))
  fields = {"width": 32, "layers": 3, "code": 4}
  encoder = encoders.make("transformer", fields, rnn, encoders.Inputs("token"))
  params = encoder.init(jax.random.key(0))
  weights = jax.vmap(rnn.init)(jax.random.split(jax.random.key(1), 3))

  def codes(params, weights):
    with precision.products(name):
      return encoder.apply_batch(params, weights)

  each = jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, weights)
  np.testing.assert_allclose(jax.jit(codes)(params, weights), each, atol=bound)
