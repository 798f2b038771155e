"""Equal to Flax's cells, whose parametrisations differ from torch's.

Flax's LSTM and Elman cells have one bias where torch has two, its GRU one for
r, one for z and two for n.
"""

import flax.linen as nn
import jax
import numpy as np
import pytest

from weightspace.rnn import RNNSpec, make_rnn

INPUTS, HIDDEN, STEPS = 6, 9, 100


def _dense(w, b=None):
  return {"kernel": w.T} | ({} if b is None else {"bias": b})


def _lstm(layer):
  params = {}
  for g, name in enumerate("ifgo"):
    params[f"i{name}"] = _dense(layer.wx[g])
    params[f"h{name}"] = _dense(layer.wh[g], layer.bx[g] + layer.bh[g])
  return params


def _gru(layer):
  params = {}
  for g, name in enumerate("rz"):
    params[f"i{name}"] = _dense(layer.wx[g], layer.bx[g] + layer.bh[g])
    params[f"h{name}"] = _dense(layer.wh[g])
  params["in"] = _dense(layer.wx[2], layer.bx[2])
  params["hn"] = _dense(layer.wh[2], layer.bh[2])
  return params


def _elman(layer):
  return {
      "i": _dense(layer.wx[0], layer.bx[0] + layer.bh[0]),
      "h": _dense(layer.wh[0]),
  }


@pytest.mark.parametrize(
    "cell, module, convert",
    [
        ("lstm", nn.LSTMCell, _lstm),
        ("lstm", nn.OptimizedLSTMCell, _lstm),
        ("gru", nn.GRUCell, _gru),
        ("elman", nn.SimpleCell, _elman),
    ],
)
def test_equals_flax(cell, module, convert):
  rnn = make_rnn(RNNSpec(cell, (HIDDEN,), INPUTS, 4))
  weights = rnn.init(jax.random.key(0))
  xs = jax.random.normal(jax.random.key(1), (STEPS, INPUTS))

  params = {"cell": convert(weights.layers[0])}
  hs = nn.RNN(module(HIDDEN)).apply({"params": params}, xs)
  expected = hs @ weights.readout.w.T + weights.readout.b[None]

  ys = jax.jit(rnn.unroll)(weights, xs)
  np.testing.assert_allclose(ys, expected, rtol=0, atol=1e-5)
