"""Zoos of given networks are what is in the files, or are not begun."""

import functools
import shutil

import jax
import numpy as np
import pandas as pd
import pytest

from tests import recorded as example
from weightspace import tasks, zoo
from weightspace.interop import Network, flax, tensors
from weightspace.interop import torch as torch_format
from weightspace.zoo import collecting, replay, splits, store
from weightspace.zoo.collecting import plan
from zoo_gen import inspection

REALS = example.reals()


def collect(folder, path="zoo", **changes):
  arguments = {
      "networks": folder / "nets/*.safetensors",
      "inputs": folder / "inputs.npz",
      "table": folder / "runs.csv",
      **changes,
  }
  zoo.from_networks(folder / path, **arguments)
  return zoo.open(folder / path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return example.write(tmp_path_factory.mktemp("collecting") / "mine")


@pytest.fixture(scope="module")
def collected(folder):
  return collect(folder)


def test_a_zoo_is_what_is_in_the_files(collected):
  assert inspection.inspect(collected.path).problems == []
  columns, rows = collected.columns, example.rows()
  assert sorted(columns["net_id"]) == list(range(example.NETWORKS))
  assert collected.spec.metric_names == ()
  lengths = np.array([6, 3, 1, 6])
  family = tasks.make("recorded", collected.spec.family_config)
  assert family.spec.categories == (
      ("optimizer", ("adam", "rmsprop", "sgd")),
  )
  answers = [
      jax.jit(functools.partial(replay.answers, family, rnn))
      for rnn in collected.rnns
  ]
  for row, net_id in enumerate(columns["net_id"]):
    rnn, weights = example.network(net_id)
    assert collected.rnns[collected.shapes[row]].spec == rnn.spec
    np.testing.assert_array_equal(
        collected.vectors([row])[0], rnn.flatten(weights)
    )
    assert columns["delay"][row] == rows[net_id]["delay"]
    assert columns["score"][row] == np.float32(rows[net_id]["score"])
    values = dict(family.spec.categories)["optimizer"]
    code = columns["optimizer"][row]
    assert values[code] == rows[net_id]["optimizer"]
    assert family.describe(columns["task"][row]) == f"network {net_id}"
    seen = collected.rollouts([row])
    mask = np.asarray(family.mask(seen.sequences[0]))
    np.testing.assert_array_equal(mask.sum(0), lengths)
    np.testing.assert_array_equal(
        family.encode(None, seen.sequences[0]),
        np.swapaxes(example.reals(), 0, 1) * mask[..., None],
    )
    alone = answers[collected.shapes[row]](
        collected.vectors([row])[0], columns["task"][row], seen.sequences[0]
    )
    np.testing.assert_allclose(alone, seen.log_probs[0], atol=5e-3)


def test_killed_and_run_again_it_is_the_same(
    folder, collected, tmp_path, monkeypatch
):
  """The same bits, whatever was written before."""
  path = folder / "killed"
  write, written = store.write_shard, []

  def killed(*args):
    if written:
      raise KeyboardInterrupt
    written.append(args)
    write(*args)

  monkeypatch.setattr(store, "write_shard", killed)
  with pytest.raises(KeyboardInterrupt):
    collect(folder, "killed")
  with pytest.raises(zoo.ZooError, match=r"1 of 3 shards.*zoo_gen\.collect"):
    zoo.open(path)
  monkeypatch.undo()
  collect(folder, "killed")
  files = sorted(f.relative_to(path) for f in path.rglob("*") if f.is_file())
  whole = [f.relative_to(collected.path) for f in collected.path.rglob("*")]
  assert files == sorted(f for f in whole if (collected.path / f).is_file())
  for file in files:
    assert (path / file).read_bytes() == (collected.path / file).read_bytes()


def test_shards_are_small_whatever_there_is(folder, collected, monkeypatch):
  """A shard a network: other shards, the same rows."""
  monkeypatch.setattr(plan, "_SHARD_BYTES", 1)
  split_up = collect(folder, "many")
  assert len(split_up.spec.layout) == example.NETWORKS
  for name, column in collected.columns.items():
    np.testing.assert_array_equal(split_up.columns[name], column)
  rows = np.arange(len(collected))
  for a, b in zip(split_up.rollouts(rows), collected.rollouts(rows)):
    np.testing.assert_allclose(a.astype("f4"), b.astype("f4"), atol=2e-3)


def test_a_network_that_changes_is_noticed(folder, monkeypatch):
  seen = []
  load = collecting.networks_lib.load

  def changed(model, *args):
    one = load(model, *args)
    seen.append(model)
    return one._replace(sha256="") if len(seen) > example.NETWORKS else one

  monkeypatch.setattr(collecting.networks_lib, "load", changed)
  with pytest.raises(ValueError, match="has changed while it was read"):
    collect(folder, "changing")


def test_networks_of_python_need_no_files(folder, collected, tmp_path):
  networks = [
      Network(*example.network(i)) for i in range(example.NETWORKS)
  ]
  table = {
      name: [row[name] for row in example.rows()]
      for name in ("delay", "optimizer", "score")
  }
  spec = zoo.from_networks(
      tmp_path / "zoo", networks, folder / "inputs.npz", table
  )
  opened = zoo.open(tmp_path / "zoo")
  sums = [s.trainer["collected"]["sha256"] for s in (spec, collected.spec)]
  assert sums[0] == sums[1]
  for name, column in collected.columns.items():
    np.testing.assert_array_equal(opened.columns[name], column)


def test_snapshots_may_differ_between_networks(tmp_path):
  folder = example.write(tmp_path / "mine")
  listed = [
      {"network": f"run {i}", "step": 10 * i, **row,
       "delay": row["delay"] if i < 7 else 9}
      for i, row in enumerate(example.rows())
  ]
  rnn, weights = example.network(4)
  weights = jax.tree.map(lambda leaf: leaf / 2, weights)
  torch_format.save(folder / "nets/99.safetensors", rnn, weights)
  listed.insert(0, {
      **listed[4], "step": 7, "file": "nets/99.safetensors", "score": "",
  })  # fmt: skip
  example.write_table(folder, listed)
  # One row's outputs after another's, not a network's
  networks = [(rnn, weights), *(example.network(i) for i in range(5))]
  outputs = np.stack([
      np.swapaxes(rnn.unroll(weights, np.swapaxes(REALS, 0, 1)), 0, 1)
      for rnn, weights in networks
  ])
  inputs = {"inputs": REALS, "lengths": [6, 3, 2, 6], "outputs": outputs}
  opened = collect(
      folder, inputs=inputs, split=["delay", "optimizer"], held_out="highest"
  )
  columns = opened.columns
  assert len(opened) == example.NETWORKS + 1
  # Networks have the order of the table, in which run 4 is now the first
  rows = np.flatnonzero(columns["net_id"] == 0)
  assert columns["step"][rows].tolist() == [7, 40]
  assert opened.final[rows].tolist() == [False, True]
  assert np.isnan(columns["score"][rows]).tolist() == [True, False]
  assert np.sum(opened.final) == example.NETWORKS
  np.testing.assert_array_equal(
      columns["task"], np.stack([columns["delay"], columns["optimizer"]], 1)
  )
  family = tasks.make("recorded", opened.spec.family_config)
  parts = splits.of_zoo(opened, family, seed=0)
  assert sum(map(len, parts)) == len(opened)
  summary = dict(collecting.summary(opened))
  assert summary["column score"] == "numbers from 0 to 0.5; 1 rows are empty"
  assert "2 tasks of 2 rows, with a single delay, of which" in summary["split"]


@pytest.mark.slow
def test_tokens_and_what_networks_write(tmp_path):
  folder = example.write(tmp_path / "mine", inputs=3)
  tokens = example.tokens(1, example.NETWORKS, size=3)
  np.savez(folder / "inputs.npz", inputs=tokens)
  opened = collect(folder, accuracy="score", first=2, samples=5, seed=3)
  assert opened.spec.rollouts == example.SEQUENCES + 5
  assert opened.spec.metric_names == ("accuracy",)
  rows = np.arange(len(opened))
  seen = opened.rollouts(rows)
  assert seen.sequences.dtype == np.int8
  given, own = np.split(seen.sequences, [example.SEQUENCES], axis=1)
  np.testing.assert_array_equal(
      given[..., :-1], tokens[opened.columns["net_id"]]
  )
  assert np.all(given[..., -1] == -1)
  assert np.all(own[..., 0] == 2) and np.all(own >= 0)
  assert len(np.unique(own, axis=0)) == len(own)
  assert inspection.inspect(opened.path).problems == []
  other = collect(folder, "other", accuracy="score", first=2, samples=5)
  assert not np.array_equal(other.rollouts(rows).sequences, seen.sequences)


def test_networks_that_diverged_are_kept_and_in_no_split(tmp_path, caplog):
  folder = example.write(tmp_path / "mine")
  networks = [example.network(i) for i in range(example.NETWORKS)]
  rnn, weights = networks[2]
  broken = rnn.unflatten(rnn.flatten(weights).at[0].set(np.nan))
  networks[2] = rnn, broken
  opened = collect(
      folder, networks=[Network(*n) for n in networks],
      table={"delay": [*range(4), "four", *range(5, example.NETWORKS)]},
  )  # fmt: skip
  assert "1 of 11 networks have weights that are not finite" in caplog.text
  assert "'the table, line 3'" in caplog.text
  assert "line 5: 'four'" in caplog.text and "has no outputs" in caplog.text
  row = np.flatnonzero(opened.columns["net_id"] == 2)
  assert np.flatnonzero(~opened.columns["finite"]) == row
  family = tasks.make("recorded", opened.spec.family_config)
  kept = np.concatenate(splits.of_zoo(opened, family, seed=0))
  assert sorted({*range(len(opened))} - {*kept}) == row
  assert inspection.inspect(opened.path).problems == []


def _edited(row, **cells):
  listed = example.rows()
  listed[row] |= cells
  return listed


def _without(name):
  return [
      {k: v for k, v in row.items() if k != name} for row in example.rows()
  ]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"split": ["dealy"]}, "did you mean 'delay'"),
        ({"split": ["optimizer"]}, "3 distinct tasks"),
        ({"split": ["optimizer", "delay"], "held_out": "highest"}, "is text"),
        ({"first": 1, "samples": 2}, "has real inputs"),
        ({"split": ["score"]}, "holds another zoo.* differs in split;"),
        ({"inputs": {"inputs": REALS}}, "differs in inputs; choose"),
        ({"table": None}, "differs in table; choose"),
    ],
)
def test_what_needs_no_networks_is_said_before_they_are_read(
    folder, collected, monkeypatch, changes, message
):
  monkeypatch.setattr(collecting.networks_lib, "load", None)
  with pytest.raises((ValueError, FileExistsError), match=message) as caught:
    collect(folder, **changes)
  assert len(str(caught.value)) < 400


def test_a_zoo_of_other_networks_is_kept(folder, collected, monkeypatch):
  load = collecting.networks_lib.load
  monkeypatch.setattr(
      collecting.networks_lib, "load",
      lambda *args: load(*args)._replace(sha256="of others"),
  )  # fmt: skip
  with pytest.raises(FileExistsError, match="differs in networks; choose"):
    collect(folder)


def test_the_same_zoo_may_be_of_files_that_moved(folder, collected, tmp_path):
  shutil.copytree(folder / "nets", tmp_path / "nets")
  again = collect(
      folder, networks=tmp_path / "nets/*.safetensors",
      table=pd.DataFrame(example.rows()).drop(columns="file"),
  )  # fmt: skip
  assert again.spec == collected.spec


@pytest.mark.parametrize(
    "listed, inputs, changes, message",
    [
        (_edited(3, file="nets/77.safetensors"), {}, {},
         r"runs\.csv, line 5: file 'nets/77\.safetensors' is not there"),
        (_edited(3, file="nets/02.safetensors"), {}, {},
         r"line 5: file .* is in line 4 too"),
        (_without("file")[1:], {}, {}, "10 rows, but there are 11 networks"),
        (example.rows()[1:], {}, {},
         r"1 have no row, such as .*00\.safetensors"),
        (None, {}, {"networks": "nowhere/*.pt"}, "no file is called nowhere"),
        (None, {}, {"networks": None, "table": None}, "there are no networks"),
        (_edited(3, score="1e99"), {}, {}, "line 5: score is 1e99, which is"),
        (_edited(3, score="n/a"), {}, {}, "line 5: score is 'n/a' in a column"),
        (_edited(3, optimizer="a\nb"), {}, {}, "optimizer must be text on one"),
        ([{**r, "lr decay": 1} for r in example.rows()], {}, {},
         "column 'lr decay' has other .* such as lr_decay"),
        ([{**r, "task": 1} for r in example.rows()], {}, {},
         "column 'task' is a name that zoos use; rename it, such as task_"),
        ([{**r, "accuracy": 1} for r in example.rows()], {}, {},
         "column 'accuracy' needs --accuracy=accuracy .* rename it"),
        (_edited(3, score=50), {}, {"accuracy": "score"},
         "line 5: score is '50', expected an accuracy from 0 to 1"),
        (None, {}, {"accuracy": "scor"}, "did you mean 'score'"),
        (None, {}, {"split": ["dealy"]}, "did you mean 'delay'"),
        (None, {}, {"split": ["optimizer"]},
         "split=optimizer: 3 distinct tasks .* 'network' splits by network"),
        (_edited(3, delay=""), {}, {"split": ["delay"]},
         r"runs\.csv, line 5: delay is empty"),
        ([{"network": "one", **r} for r in example.rows()], {}, {},
         "line 3 and line 2 are the same network at step 0; a column 'step'"),
        ([{"network": max(1, i), "step": i, **r}
          for i, r in enumerate(example.rows())], {}, {},
         "01.safetensors and .*00.safetensors are snapshots of one network"),
        ([{"step": -1, **r} for r in example.rows()], {}, {},
         "line 2: step is '-1', expected an integer from 0"),
        (None, {"inputs": REALS[0]}, {}, r"inputs have shape \[6, 2\]"),
        (None, {"inputs": REALS[..., :1]}, {}, "axis is 1, but .* 2 inputs"),
        (None, {"inputs": np.stack([REALS] * 7)}, {},
         "they are of 7 networks, but there are 11"),
        (None, {"inputs": np.where(REALS > 1, np.nan, REALS)}, {},
         "nan .*, expected finite numbers in"),
        (None, {"inputs": example.tokens(size=5)}, {}, "go up to 4, but"),
        (None, {"inputs": REALS, "lengths": [1, 2, 3]}, {},
         r"lengths have shape \[3\] .* expected integers \[4\]"),
        (None, {"inputs": REALS, "lengths": [1, 2, 3, 7]}, {},
         "from 1 to 7, expected 1 to 6"),
        (None, {"inputs": REALS, "targets": [1]}, {}, "arrays inputs, targets"),
        (None, {"inputs": REALS, "outputs": np.zeros((1, 4, 6, 3))}, {},
         r"00\.safetensors: .*outputs of the model and of the network"),
        (None, {"inputs": REALS, "outputs": np.zeros((1, 4, 6))}, {},
         r"outputs have shape \[1, 4, 6\]"),
        (None, {}, {"first": 1}, "samples=0 and first=1"),
        (None, {}, {"first": 1, "samples": 3}, "read the tokens they write"),
        (None, {}, {"seed": -1}, "seed must be"),
        (_edited(3, file=""), {}, {}, "line 5: file is empty"),
        (None, {}, {"networks": Network(*example.network(0))}, "got one Netw"),
        (None, {}, {"networks": {"a": REALS}}, "a list of networks, got one"),
        (None, {}, {"networks": [0] * 9, "table": {"delay": [1]}},
         "there are 9 networks; each network needs its row"),
    ],
)  # fmt: skip
def test_refusals_leave_nothing(folder, tmp_path, listed, inputs, changes,
                                message):
  if listed is not None:
    shutil.copytree(folder / "nets", tmp_path / "nets")
    example.write_table(tmp_path, listed)
    changes = {
        "table": tmp_path / "runs.csv",
        "networks": tmp_path / "nets/*.safetensors", **changes,
    }  # fmt: skip
  if inputs:
    np.savez(tmp_path / "inputs.npz", **inputs)
    changes = {"inputs": tmp_path / "inputs.npz", **changes}
  with pytest.raises(ValueError, match=message):
    collect(folder, "refused", **changes)
  assert not (folder / "refused").exists()


def test_parameters_of_flax_are_read_as_those_of_torch(
    folder, collected, tmp_path
):
  """From files and from memory."""
  everything = []
  for i in range(example.NETWORKS):
    params = flax.to_params(*example.network(i))
    tensors.write(
        tmp_path / f"{i:02d}.safetensors", tensors.named(params["params"])
    )
    everything.append(params)
  for place, networks in (
      ("files", tmp_path / "*.safetensors"), ("memory", everything),
  ):  # fmt: skip
    listed = [dict(row) for row in example.rows()]
    for row in listed:
      del row["file"]
    made = collect(
        folder, tmp_path / place, networks=networks, table=pd.DataFrame(listed)
    )
    pairs = zip(*(np.argsort(z.columns["net_id"]) for z in (made, collected)))
    for row, its in pairs:
      assert (
          made.rnns[made.shapes[row]].spec
          == collected.rnns[collected.shapes[its]].spec
      )
      # Flax has one bias where torch has two: they compute the same
      np.testing.assert_allclose(
          made.rollouts([row]).log_probs,
          collected.rollouts([its]).log_probs,
          atol=2e-3,
      )
