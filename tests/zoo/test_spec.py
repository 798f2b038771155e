import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zoo.example import SPEC
from weightspace.rnn import RNNSpec
from weightspace.zoo import SCHEMA_VERSION, ZooSpec
from weightspace.zoo.spec import differences

names = st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)  # fmt: skip
configs = st.dictionaries(st.text(), values, max_size=3)
counts = st.integers(1, 10**6)
shapes = st.tuples(names, st.lists(counts, min_size=1, max_size=3).map(tuple))


def _rnns(shapes, inputs, outputs):
  return tuple(RNNSpec(*shape, inputs, outputs) for shape in shapes)


specs = st.builds(
    ZooSpec,
    family=names,
    family_config=configs,
    rnns=st.builds(
        _rnns,
        st.lists(shapes, min_size=1, max_size=3, unique=True),
        counts,
        counts,
    ),
    trainer=configs,
    num_networks=st.integers(30, 10**6),
    shard_size=st.integers(1, 10),  # at least three shards
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


def test_what_an_earlier_schema_wrote_is_read():
  data = SPEC.to_json()
  (data["spec"]["rnn"],) = data["spec"].pop("rnns")
  assert ZooSpec.from_json({**data, "schema_version": 1}) == SPEC


def test_a_zoo_of_several_shapes_has_no_single_one():
  spec = ZooSpec.from_json(_with_shape())
  assert len(spec.rnns) == 2
  with pytest.raises(ValueError, match="networks of 2 shapes"):
    spec.rnn  # noqa: B018
  assert SPEC.rnn == SPEC.rnns[0]


def test_tuples_in_configs_are_as_json_returns_them():
  spec = dataclasses.replace(SPEC, trainer={"steps": (1, 2)})
  assert spec.trainer == {"steps": [1, 2]}


def _edited(**changes):
  data = SPEC.to_json()
  data["spec"].update(changes)
  return data


def _with_shape(count=2, **changes):
  """A spec of `count` shapes in two shards; the others of changed fields."""
  first = SPEC.to_json()["spec"]["rnns"][0]
  others = [{**first, "hidden": [9 + i], **changes} for i in range(count - 1)]
  return _edited(rnns=[first, *others], num_networks=3)


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
        (_edited(rnns=[{"cell": "gru"}]), "lacks the fields: hidden, inputs"),
        (
            _edited(rnns=[{**SPEC.to_json()["spec"]["rnns"][0], "cell": None}]),
            "cell: None is not a plain name",
        ),
        (_edited(rnns=[3]), "shape in the spec's rnns must be an object"),
        (_edited(rnns=3), "rnns must be a list"),
        (_edited(rnns=[]), "at least one"),
        (_edited(rnns=2 * SPEC.to_json()["spec"]["rnns"]), "different shapes"),
        (_with_shape(inputs=9), "the same inputs and outputs"),
        (_with_shape(3), "make 2 shards, too few for 3 shapes"),
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


def test_a_layout_makes_another_version():
  assert SPEC.to_json()["schema_version"] == 2
  assert "layout" not in SPEC.to_json()["spec"]
  layout = ((0, 2, 3), (0, 1, 3), (0, 2, 2))
  spec = dataclasses.replace(SPEC, layout=layout)
  assert spec.to_json()["schema_version"] == SCHEMA_VERSION
  assert ZooSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
  assert spec.layout[1].rows == 3
  assert "layout is absent there" in differences(SPEC, spec)[0]


@pytest.mark.parametrize(
    "layout, message",
    [
        ([[0, 5, 5]], "layout has 5 networks, 5 in a shard"),
        ([[0, 2, 2], [0, 2, 2]], "layout has 4 networks"),
        ([[0, 2, 2], [0, 2, 2], [1, 1, 1]], "all of the 1 shapes"),
        ([[0, 2, 1], [0, 2, 2], [0, 1, 1]], "1 rows of 2 networks"),
        ([[0, 2, 7], [0, 2, 2], [0, 1, 1]], "from 1 to 3 snapshots"),
        ([[0, 2], [0, 2, 2], [0, 1, 1]], "layout must hold"),
        ([[0, 2, -1], [0, 2, 2], [0, 1, 1]], "rows in layout"),
        (3, "layout must be a list"),
    ],
)
def test_layouts_that_cannot_be(layout, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SPEC, layout=layout)
