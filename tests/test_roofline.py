"""The roofline that speeds are held against, and the benchmark that does it."""

import json
import os
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import _roofline
from weightspace.rnn import RNNSpec, make_rnn

ROOT = pathlib.Path(__file__).parents[1]


def mesh_of(kind, count):
  device = types.SimpleNamespace(device_kind=kind, platform="gpu")
  return types.SimpleNamespace(devices=np.array([device] * count), size=count)


@pytest.mark.parametrize(
    "kind, count, precision, flops",
    [
        ("NVIDIA H100 80GB HBM3", 1, "float32", 67e12),
        ("NVIDIA H100 80GB HBM3", 8, "bfloat16", 8 * 989.5e12),
        ("NVIDIA A100-SXM4-80GB", 1, "tensorfloat32", 156e12),
        ("TPU v5 lite", 4, "bfloat16", 4 * 197e12),
        ("TPU v5 lite", 1, "tensorfloat32", 197e12 / 3),
        ("TPU v5 lite", 1, "float32", 197e12 / 6),
    ],
)
def test_peaks_of_known_devices(kind, count, precision, flops):
  peak = _roofline.peak(mesh_of(kind, count), precision)
  assert peak.source == "datasheet"
  assert peak.flops == pytest.approx(flops)


def test_work_of_the_papers_networks():
  work = _roofline.work(make_rnn(RNNSpec("lstm", (32, 32), 6, 6)), 32, 41)
  weights = 128 * (6 + 32) + 128 * (32 + 32) + 6 * 32
  assert work.flops == 6 * 32 * 41 * weights
  assert 14e6 < work.bytes < 17e6
  fast = _roofline.Peak(work.flops, 2 * work.bytes, "")
  assert work.seconds(fast) == 1
  assert work.seconds(fast._replace(bandwidth=work.bytes / 3)) == 3


@pytest.mark.parametrize("cell, slots", [("gru", 4), ("elman", 1)])
def test_work_counts_what_a_cell_stores(cell, slots):
  """Beside what does not depend on the cell's gates."""
  spec = RNNSpec(cell, (8,), 2, 2)
  rnn = make_rnn(spec)
  per_row = 8 * slots * 8 + 2 * 2 + 2 * 8 + 4 * 8 + 4 * 2
  assert _roofline.work(rnn, 5, 7).bytes == 4 * (35 * per_row + 8 * rnn.size)


def test_products_of_a_batch_and_of_its_gradient_are_counted():
  x, w = jnp.ones((5, 20, 16)), jnp.ones((16, 24))

  def loss(w):
    return jnp.sum(jax.vmap(lambda x: x @ w)(x) ** 2)

  forward = 2 * 5 * 20 * 16 * 24
  assert _roofline.products(jax.make_jaxpr(loss)(w).jaxpr) == forward
  gradient = jax.make_jaxpr(jax.grad(loss))(w).jaxpr
  assert _roofline.products(gradient) == 2 * forward


@pytest.mark.slow
def test_the_benchmark_of_accelerators_runs_here():
  done = subprocess.run(
      [sys.executable, "-m", "experiments.benchmarks.accelerator",
       "--cell=elman", "--networks=3", "--steps=1", "--rounds=1"],
      cwd=ROOT,
      env=os.environ | {"PYTHONPATH": str(ROOT)},
      capture_output=True,
      text=True,
      timeout=200,
      check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  actual = json.loads(done.stdout.splitlines()[-1])
  assert actual["peak_source"] == "measured"
  assert len(actual["sweep"]) == 1
  for entry in actual["sweep"]:
    assert entry["networks"] % actual["devices"] == 0
    assert entry["rnn_steps_per_second"] > 0
    assert entry["share_of_roofline"] == pytest.approx(
        max(entry["share_of_flops"], entry["share_of_bandwidth"]), abs=2e-4
    )
    assert entry["bytes"] > 0
    assert entry["compile_seconds"] > 0
