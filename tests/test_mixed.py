"""One zoo and one code for networks of several cells, depths and widths."""

import copy
import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.study import trained
from tests import tiny_zoo
from weightspace import heads, parallel, properties, tasks, zoo
from weightspace.errors import UserError
from weightspace.evaluation import codes, emulation
from weightspace.progress import Progress
from weightspace.report import study_page
from weightspace.rnn import RNNSpec
from weightspace.training import encoding, pretrain, supervised
from weightspace.training.draws import shares
from zoo_gen import inspection, shards

pytestmark = pytest.mark.slow

SHAPES = ("gru", (4,)), ("elman", (3, 5))
CONFIG = {
    "encoder": {
        "name": "noninteractive", "parallel": 2, "length": 4, "hidden": 8,
        "layers": 1, "decoder": 8, "code": 4,
    },
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 1e-2},
    "emulation": {
        "steps": 4, "batch": 12, "validate_every": 2, "split_seed": 0,
        "divergence": "total_variation",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
  return zoo.open(tiny_zoo.generate(
      tmp_path_factory.mktemp("mixed") / "zoo",
      others=("elman:3,5",), shard_size=8, networks=24,
  ))  # fmt: skip


@pytest.fixture(scope="module")
def run(mixed, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "run"
  with_mesh = parallel.mesh(parallel.DATA)
  pretrain.pretrain(
      mixed, CONFIG, folder, progress=Progress.silent(), mesh=with_mesh
  )
  return folder


@pytest.fixture(scope="module")
def pretrained(mixed, run):
  pretrained, _ = pretrain.load(mixed, run)
  return pretrained


def test_shards_take_turns(mixed):
  assert mixed.spec.rnns == tuple(RNNSpec(*s, 6, 6) for s in SHAPES)
  np.testing.assert_array_equal(mixed.shapes, np.repeat([0, 1, 0], 8 * 3))
  for shape, rnn in enumerate(mixed.rnns):
    rows = np.flatnonzero(mixed.shapes == shape)[[3, 0]]
    vectors, weights = mixed.vectors(rows), mixed.weights(rows)
    assert vectors.shape == (2, rnn.size)
    assert np.all(np.any(vectors != 0, axis=1))
    np.testing.assert_array_equal(jax.vmap(rnn.flatten)(weights), vectors)
    assert mixed.rollouts(rows).log_probs.shape[0] == 2
  with pytest.raises(ValueError, match="rows 0 and 40 are networks of diff"):
    mixed.vectors([0, 40])
  with pytest.raises(ValueError, match="networks of 2 shapes"):
    mixed.rnn  # noqa: B018


def test_a_mixed_zoo_is_audited(mixed):
  report = inspection.inspect(mixed.path, sample=12)
  assert report.problems == []
  summary = dict(report.summary)
  assert summary["networks"] == "24 of gru (4,) and elman (3, 5)"


def test_each_network_is_encoded_as_if_alone(mixed, pretrained):
  encoded = codes.of_zoo(mixed, pretrained)
  assert encoded.shape == (len(mixed), 4)
  params = pretrained.params["encoder"]
  for row in (0, 40, 60):
    shape = mixed.shapes[row]
    weights = jax.tree.map(lambda leaf: leaf[0], mixed.weights([row]))
    alone = jax.jit(pretrained.model.encoders[shape].apply)(params, weights)
    np.testing.assert_allclose(encoded[row], alone, rtol=1e-4, atol=1e-5)
  assert len(np.unique(np.round(encoded, 5), axis=0)) > len(mixed) // 2
  with pytest.raises(ValueError, match="networks of several shapes"):
    pretrained.encoder  # noqa: B018


def with_shapes(zoo_, *rnns):
  """The zoo, as if its networks were of other shapes."""
  other = copy.copy(zoo_)
  vars(other).pop("rnns", None)
  other.spec = dataclasses.replace(zoo_.spec, rnns=rnns)
  return other


def test_a_run_encodes_networks_of_other_shapes(mixed, run, pretrained):
  shapes = RNNSpec("lstm", (7,), 6, 6), *mixed.spec.rnns[::-1]
  loaded, _ = pretrain.load(with_shapes(mixed, *shapes), run)
  weights = jax.tree.map(lambda leaf: leaf[0], mixed.weights([0]))
  params = pretrained.params["encoder"]
  np.testing.assert_array_equal(
      *(jax.jit(one.apply)(params, weights) for one in (
          loaded.model.encoders[2], pretrained.model.encoders[0]
      ))
  )  # fmt: skip


def test_a_run_refuses_networks_that_do_not_fit(mixed, run, tmp_path):
  with pytest.raises(UserError, match=r"6 inputs and 6 outputs.* 6 and 5$"):
    pretrain.load(with_shapes(mixed, RNNSpec("gru", (4,), 6, 5)), run)
  stored = json.loads((run / "config.json").read_text())
  stored["encoder"] = {"name": "flat"}
  (tmp_path / "config.json").write_text(json.dumps(stored))
  with pytest.raises(UserError, match=r"flat.* GRU of 1 layer of 4 units and"):
    pretrain.load(with_shapes(mixed, RNNSpec("gru", (5,), 6, 6)), tmp_path)


def test_losses_come_in_the_order_of_the_rows(mixed, pretrained):
  rows = np.array([60, 3, 41, 20, 4])
  parts = {"all": rows, **{row: rows[rows == row] for row in rows.tolist()}}
  losses = emulation.row_losses(
      mixed, pretrained, parts, names=("kl",)
  )
  alone = np.concatenate([losses[row]["kl"] for row in rows.tolist()])
  np.testing.assert_allclose(losses["all"]["kl"], alone, rtol=1e-4)


def test_a_mixed_zoo_is_studied_and_reported(mixed, run, tmp_path):
  config = {
      "properties": ("accuracy",), "forms": ("linear",), "steps": 10,
      "resamples": 5, "seed": 0,
  }  # fmt: skip
  results = trained.study(
      mixed.path, run, config, tmp_path, progress=Progress.silent()
  )
  study_page.write(results, tmp_path)
  text = (tmp_path / "index.html").read_text()
  assert "GRU and RNN of 1 to 2 layers of 3 to 5 units" in text


def test_supervised_training_takes_all_shapes(mixed):
  rows = np.arange(len(mixed))
  config = {
      **CONFIG,
      "encoder": {"name": "watching", "parallel": 2, "length": 4, "code": 4},
      "supervised": {
          "properties": ("step",), "steps": 4, "batch": 12, "hidden": 8,
      },
  }  # fmt: skip

  def train(config):
    return supervised.train(
        mixed, config, rows[rows % 2 == 0], rows[rows % 2 == 1],
        progress=Progress.silent(),
    )  # fmt: skip

  trained_once = train(config)
  scope = properties.Scope(
      tasks.make(mixed.spec.family, mixed.spec.family_config).spec,
      mixed.spec.snapshot_steps,
  )
  head = heads.make(heads.Config("mlp", 8), properties.load("step"), scope, 4)
  made = encoding.make_encoders(
      mixed.rnns, scope.tasks, encoding.parse(config["encoder"])
  )
  for row in (20, 40):
    weights = jax.tree.map(lambda leaf: leaf[0], mixed.weights([row]))
    code = jax.jit(made[mixed.shapes[row]].apply)(
        trained_once.params["encoder"], weights
    )
    alone = head.apply(trained_once.params["heads"]["step"], code)
    np.testing.assert_allclose(
        trained_once.outputs["step"][row], alone, rtol=1e-4, atol=1e-5
    )
  with pytest.raises(ValueError, match=r"'flat'.*of several shapes"):
    train({**config, "encoder": {"name": "flat"}})


@pytest.mark.parametrize("name", ["statistics", "flat", "transformer", "dws"])
def test_an_encoder_of_one_shape_is_refused(mixed, name):
  family = tasks.make(mixed.spec.family, mixed.spec.family_config)
  with pytest.raises(ValueError, match=f"{name}.*of several shapes"):
    encoding.make_encoders(
        mixed.rnns, family.spec, encoding.parse({"name": name})
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("gru", "'gru' is not a cell and the width"),
        ("gru:a", "'gru:a' is not a cell and the width"),
        ("gur:4", "did you mean 'gru'"),
        ("gru:4", "different shapes"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(text, message):
  with pytest.raises(ValueError, match=message):
    shards.plan({**tiny_zoo.CONFIG, "others": (text,)})


def test_a_batch_is_shared_in_proportion():
  assert shares([10, 10, 20], 64) == (16, 16, 32)
  assert shares([10, 0, 1000], 8, unit=2) == (2, 0, 6)
  assert shares([5], 7) == (7,)
  with pytest.raises(ValueError, match="a batch of 2 cannot be made of 3"):
    shares([1, 1, 1], 2)
  with pytest.raises(ValueError, match="a larger multiple of 4"):
    shares([9], 10, unit=4)
