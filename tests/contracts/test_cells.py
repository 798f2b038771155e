"""The Cell contract."""

import jax
import jax.numpy as jnp
import pytest

from weightspace import cells
from weightspace.testing.cells import (
  CHECKS,
  check_combine,
  check_gates,
  check_initial_state,
  check_odd_gates,
  check_pointwise,
  check_shapes,
  check_slope,
)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", cells.names())
def test_contract(name, check):
  check(cells.load(name))


LSTM, GRU, ELMAN = (cells.load(name) for name in ("lstm", "gru", "elman"))


def _mixes_units(h, gates):
  del h
  return jnp.cumsum(gates[..., 0, :], axis=-1)


def _mixes_examples(h, gates):
  new = ELMAN.update(h, gates)
  return new - new.mean(axis=0, keepdims=True) if new.ndim > 1 else new


def _upcasts(h, gates):
  return ELMAN.update(h, gates).astype(jnp.float32)


def _infinite_slope(h, gates):
  del h
  return jnp.sqrt(jnp.abs((gates - gates)[..., 0, :]))


BROKEN = {
    "odd gate out of range": (LSTM._replace(odd_gates=(4,)), check_gates),
    "odd gate named twice": (GRU._replace(odd_gates=(2, 2)), check_gates),
    "starts at one": (
        ELMAN._replace(initial_state=jnp.ones),
        check_initial_state,
    ),
    "ignores the dtype": (
        ELMAN._replace(initial_state=lambda shape, dtype: jnp.zeros(shape)),
        check_initial_state,
    ),
    "upcasts": (ELMAN._replace(update=_upcasts), check_shapes),
    "outputs all of its state": (
        LSTM._replace(output=lambda s: jnp.concatenate([s.h, s.c], -1)),
        check_shapes,
    ),
    "units see each other": (
        ELMAN._replace(update=_mixes_units),
        check_pointwise,
    ),
    "examples see each other": (
        ELMAN._replace(update=_mixes_examples),
        check_pointwise,
    ),
    "no finite gradient": (
        ELMAN._replace(update=_infinite_slope),
        check_pointwise,
    ),
    "wrong odd gate": (LSTM._replace(odd_gates=(0,)), check_odd_gates),
    "too many odd gates": (GRU._replace(odd_gates=(0, 2)), check_odd_gates),
    "offset": (
        ELMAN._replace(combine=lambda u, v: u + v + 1),
        check_combine,
    ),
    "products of u and v": (
        ELMAN._replace(combine=jnp.multiply),
        check_combine,
    ),
    "slope of the gates, not of what they were made of": (
        LSTM._replace(slope=lambda gates: 1 - jnp.tanh(gates) ** 2),
        check_slope,
    ),
    "softmax is not elementwise": (
        LSTM._replace(
            activate=lambda a: jax.nn.softmax(a, axis=-2),
            slope=lambda gates: jnp.zeros_like(gates),
        ),
        check_slope,
    ),
    "relu is not odd": (
        ELMAN._replace(activate=jax.nn.relu, slope=jnp.sign),
        check_odd_gates,
    ),
    "even output": (ELMAN._replace(output=jnp.abs), check_odd_gates),
}


@pytest.mark.parametrize("broken, check", BROKEN.values(), ids=BROKEN)
def test_contract_rejects(broken, check):
  with pytest.raises(AssertionError):
    check(broken)


def test_every_check_rejects_something():
  assert {check for _, check in BROKEN.values()} == set(CHECKS)


def test_the_nearest_cell_is_named():
  with pytest.raises(ValueError, match="did you mean 'lstm'"):
    cells.load("ltsm")
