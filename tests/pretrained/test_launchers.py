"""From a zoo to the examination of another network: launcher by launcher."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests.interop.networks import fill
from weightspace import pretrained, zoo
from weightspace.evaluation import codes, prediction
from weightspace.interop import tensors
from weightspace.interop import torch as interop
from weightspace.pretrained import card as model_card
from weightspace.pretrained import examination
from weightspace.progress import Progress
from weightspace.rnn import RNNSpec, make_rnn
from weightspace.training import pretrain

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = {
    "encoder": {"name": "watching", "parallel": 2, "length": 4, "code": 4},
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 1e-2},
    "emulation": {
        "steps": 4, "batch": 8, "validate_every": 2, "split_seed": 0,
    },
}  # fmt: skip
HEADS = ("steps=20", "hidden=8", "layers=1", "resamples=10", "batch=16")


def launch(name, *flags):
  return subprocess.run(
      [sys.executable, "-m", f"experiments.{name}", *flags],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
      timeout=200,
  )


@pytest.fixture(scope="module")
def run(tiny_zoo, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "run"
  pretrain.pretrain(
      zoo.open(tiny_zoo), CONFIG, folder, progress=Progress.silent()
  )
  return folder


@pytest.fixture(scope="module")
def exported(tiny_zoo, run, tmp_path_factory):
  out = tmp_path_factory.mktemp("exported") / "encoder"
  done = launch(
      "export_encoder", f"--zoo={tiny_zoo}", f"--encoder={run}",
      f"--out={out}", "--members=2", "--rows=20",
      *(f"--config.{field}" for field in HEADS),
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith(f"{out}: 0.0")
  return out


def test_what_is_exported_is_the_run(tiny_zoo, run, exported):
  opened = zoo.open(tiny_zoo)
  trained, config = pretrain.load(opened, run)
  encoder = pretrained.load_encoder(exported)
  assert encoder.zoo == opened.spec
  assert {"zoo": opened.spec.to_json(), **encoder.config} == config
  expected = codes.of_zoo(opened, trained)
  table = encoder.reference
  assert len(table.codes) == 20
  columns = opened.columns
  for i in range(20):
    (row,) = np.flatnonzero(
        (columns["net_id"] == table.net_id[i])
        & (columns["step"] == table.step[i])
    )
    np.testing.assert_allclose(table.codes[i], expected[row], atol=1e-6)
    assert table.accuracy[i] == columns["accuracy"][row]
    np.testing.assert_array_equal(
        table.tasks[table.task[i]], columns["task"][row]
    )
  weights = jax.tree.map(lambda leaf: leaf[0], opened.weights([7]))
  np.testing.assert_allclose(encoder.embed(weights), expected[7], atol=1e-6)
  assert {e.property for e in encoder.ensembles} == {"task", "accuracy"}


def test_the_card_says_what_was_measured(exported):
  encoder = pretrained.load_encoder(exported)
  card = (exported / "README.md").read_text()
  assert card == model_card.write(
      encoder, "encoder", dataclasses.asdict(prediction.Config())
  )
  assert 'load_encoder("encoder")' in card
  for estimate in (
      encoder.about["emulation"]["validation"],
      encoder.about["emulation"]["ood"],
      encoder.ensembles[1].metrics["test"]["mse"],
  ):
    assert "| {value:.3g} ({low:.3g}, {high:.3g}) |".format(**estimate) in card
  assert "--members=2 --rows=20" in card
  assert "--config.steps=20" in card and "--config.seed" not in card
  assert str(exported.parent) not in card + (
      exported / "encoder.json"
  ).read_text()


def test_a_network_from_elsewhere(exported, tmp_path):
  path = tmp_path / "lstm.safetensors"
  rnn = make_rnn(RNNSpec("lstm", (5, 5), 6, 6))
  weights = fill(rnn, 0)
  interop.save(path, rnn, weights, recurrent="a.lstm", readout="a.head")
  tokens = np.array([0, 5, 2, 1])
  outputs = rnn.unroll(weights, np.eye(6, dtype=np.float32)[tokens])
  np.savez(tmp_path / "same", inputs=tokens, outputs=outputs)
  done = launch(
      "embed", f"--encoder={exported}", f"--weights={path}",
      "--neighbours=3", "--prefix=a.lstm", "--json",
      f"--verify_with={tmp_path / 'same'}.npz",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  printed = json.loads(done.stdout)
  examined = pretrained.load_encoder(exported).examine(weights, neighbours=3)
  np.testing.assert_allclose(printed["code"], examined.code, atol=1e-6)
  assert len(printed["nearest"]) == 3
  assert set(printed["properties"]["task"]) == {"m_b", "m_c", "m_d"}
  probabilities = printed["properties"]["task"]["m_b"]["probabilities"]
  assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
  assert printed["properties"]["accuracy"]["accuracy"]["spread"] >= 0
  text = examination.to_text(examined)
  for line in (
      r"network: LSTM of 2 layers of 5 units, 6 inputs, 6 outputs",
      r"CAUTION: outside of what it was trained on",
      r"  task m_d +-?[01] \(\d+%\), .*; ± \d+% between heads",
      r"  accuracy +-?\d\.\d{3} ± \d\.\d{3}",
      r"nearest networks of the zoo \(cosine distance\)",
      r" +\d\.\d{4} +\d+ +\d+ +\d\.\d{3}  a\^n b\^.*",
  ):
    assert re.search(f"^{line}", text, re.MULTILINE), text


def test_outputs_of_another_model_are_noticed(exported, tmp_path):
  rnn = make_rnn(RNNSpec("lstm", (5, 5), 3, 6))
  weights = fill(rnn, 0)
  arrays = interop.to_state_dict(rnn, weights)
  arrays["emb.weight"] = np.eye(6, 3, dtype=np.float32)
  tensors.write(tmp_path / "x.safetensors", arrays)
  tokens = np.array([0, 5, 2, 1])
  outputs = np.asarray(rnn.unroll(weights, arrays["emb.weight"][tokens]))
  np.savez(tmp_path / "other", inputs=tokens, outputs=outputs + 0.14)
  done = launch(
      "embed", f"--encoder={exported}",
      f"--weights={tmp_path / 'x.safetensors'}",
      f"--verify_with={tmp_path / 'other'}.npz",
  )  # fmt: skip
  assert done.returncode == 1
  assert re.fullmatch(
      r"error: --verify_with: .* differ by 0\.14, .*\n", done.stderr
  )


@pytest.mark.usefixtures("torch")
def test_the_documented_example_examines_a_network_of_torch():
  text = (ROOT / "docs/formats.md").read_text()
  (code,) = re.findall(r"```python\n(import torch\n.*?)```", text, re.DOTALL)
  names = {}
  exec(code, names)
  assert names["result"].code.shape == (16,)
  assert names["result"].predictions and names["result"].nearest
