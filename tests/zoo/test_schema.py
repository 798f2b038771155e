import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.example import SPEC
from weightspace.rnn import RNNSpec
from weightspace.zoo import SCHEMA_VERSION, ZooSpec

names = st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)  # fmt: skip
configs = st.dictionaries(st.text(), values, max_size=3)
counts = st.integers(1, 10**6)
specs = st.builds(
    ZooSpec,
    family=names,
    family_config=configs,
    rnn=st.builds(
        RNNSpec,
        cell=names,
        hidden=st.lists(counts, min_size=1, max_size=3),
        inputs=counts,
        outputs=counts,
    ),
    trainer=configs,
    num_networks=counts,
    shard_size=counts,
    snapshot_steps=st.sets(st.integers(0, 10**9), min_size=1).map(sorted),
    rollouts=counts,
    seed=st.integers(0, 2**63),
    task_names=st.lists(names, min_size=1, max_size=3, unique=True),
    metric_names=st.lists(
        names.map(lambda name: f"m_{name}"), max_size=3, unique=True
    ),
)


@given(specs)
def test_json_round_trip_is_exact(spec):
  assert ZooSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_tuples_in_configs_are_as_json_returns_them():
  spec = dataclasses.replace(SPEC, trainer={"steps": (1, 2)})
  assert spec.trainer == {"steps": [1, 2]}


def _edited(**changes):
  data = SPEC.to_json()
  data["spec"].update(changes)
  return data


def _without(name):
  data = SPEC.to_json()
  del data["spec"][name]
  return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**SPEC.to_json(), "schema_version": 7}, "schema 7, newer than"),
        ({**SPEC.to_json(), "schema_version": True}, "no schema_version"),
        ({"spec": SPEC.to_json()["spec"]}, "no schema_version"),
        ([], "no schema_version"),
        ({"schema_version": 1}, "must be an object with the fields family"),
        (_without("rollouts"), "lacks the fields: rollouts"),
        (_edited(seeed=1), "'seeed', did you mean 'seed'"),
        (_edited(rnn={"cell": "gru"}), "rnn lacks the fields: hidden, inputs"),
        (_edited(rnn=3), "spec's rnn must be an object"),
        (_edited(num_networks="5"), "num_networks must be an integer >= 1"),
        (_edited(num_networks=0), "num_networks must be an integer >= 1"),
        (_edited(shard_size=True), "shard_size must be an integer"),
        (_edited(snapshot_steps=[5, 5]), "snapshot_steps must increase"),
        (_edited(snapshot_steps=[]), "snapshot_steps must increase"),
        (_edited(snapshot_steps=5), "snapshot_steps must be a list"),
        (_edited(family="../x"), "family: '../x' is not a plain name"),
        (_edited(metric_names=["a/b"]), "'a/b' is not a plain name"),
        (_edited(metric_names=["a", "a"]), "names something twice"),
        (_edited(metric_names=["weights"]), "metric_names holds weights"),
        (_edited(task_names=[]), "task_names is empty"),
        (_edited(trainer=[1]), "trainer must be a dict"),
        (_edited(trainer={"a": float("nan")}), "trainer must hold JSON"),
        (_edited(family_config={"a": {1}}), "family_config must hold JSON"),
    ],
)
def test_errors_say_what_is_wrong(data, message):
  with pytest.raises(ValueError, match=message):
    ZooSpec.from_json(data)


def test_version_is_written():
  assert SPEC.to_json()["schema_version"] == SCHEMA_VERSION
