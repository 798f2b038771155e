"""What a zoo is made of: its specification, and the specification as JSON."""

import dataclasses
import json
import operator
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from weightspace.errors import UserError
from weightspace.plugins import nearest
from weightspace.rnn import RNNSpec

SCHEMA_VERSION = 3  # of zoos with a layout; those without one state 2
RESERVED = (
    "weights", "sequences", "log_probs", "net_id", "step", "task", "finite",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_]{1,200}")
_INT32 = 2**31 - 1  # ids and steps are stored as such
_MOST_SHARDS = 10**6
_MOST_LAYERS = 1000


class Shard(NamedTuple):
  """What a shard of a zoo with a layout holds."""

  shape: int  # of its networks, which of `ZooSpec.rnns`
  networks: int
  rows: int


@dataclass(frozen=True)
class ZooSpec:
  """Everything that decides the contents of a zoo.

  Attributes:
    family: name of a module in `weightspace.tasks`.
    family_config: fields of that module's `Config`, JSON values.
    rnns: the shapes of the networks, nearly always one; they read and write
      the same. All networks of a shard have one shape, and shards take turns
      unless there is a layout.
    trainer: the training recipe, JSON values.
    num_networks: N.
    shard_size: networks in a shard; the last one may hold fewer.
    snapshot_steps: the S steps after which weights are kept, increasing.
    rollouts: sequences kept of each row, K.
    seed: of all that is random in the zoo.
    task_names: what the D numbers of a task mean.
    metric_names: the columns that `TaskFamily.performance` returns.
    layout: what each shard holds, where numbers of networks differ between
      shapes or snapshots between networks; `snapshot_steps` are then those of
      any network. None: the fields above say it.

  Raises:
    ValueError: a field that cannot be, by name.
  """

  family: str
  family_config: dict[str, Any]
  rnns: tuple[RNNSpec, ...]
  trainer: dict[str, Any]
  num_networks: int
  shard_size: int
  snapshot_steps: tuple[int, ...]
  rollouts: int
  seed: int
  task_names: tuple[str, ...]
  metric_names: tuple[str, ...]
  layout: tuple[Shard, ...] | None = None

  def __post_init__(self):
    normal = {
        "family": _names("family", [self.family])[0],
        "family_config": _json_dict("family_config", self.family_config),
        "trainer": _json_dict("trainer", self.trainer),
        "num_networks": _integer("num_networks", self.num_networks, 1),
        "shard_size": _integer("shard_size", self.shard_size, 1),
        "snapshot_steps": tuple(
            _integer("snapshot_steps", step, 0)
            for step in _sequence("snapshot_steps", self.snapshot_steps)
        ),
        "rollouts": _integer("rollouts", self.rollouts, 1),
        "seed": _integer("seed", self.seed, 0),
        "task_names": _names("task_names", self.task_names),
        "metric_names": _names("metric_names", self.metric_names),
    }
    for name, value in normal.items():
      object.__setattr__(self, name, value)
    steps = self.snapshot_steps
    if not steps or list(steps) != sorted(set(steps)):
      raise UserError(f"snapshot_steps must increase, got {steps}")
    if not self.task_names:
      raise UserError("task_names is empty: a task needs at least one number")
    taken = sorted(set(self.metric_names) & set(RESERVED))
    if taken:
      raise UserError(
          f"metric_names holds {', '.join(taken)}: names of other columns of"
          f" a zoo; take others than {', '.join(RESERVED)}"
      )
    object.__setattr__(self, "rnns", _shapes(self.rnns))
    if self.layout is not None:
      object.__setattr__(self, "layout", _layout(self))
    shards = self.num_shards
    if max(self.num_networks, steps[-1]) > _INT32 or shards > _MOST_SHARDS:
      raise UserError(
          f"num_networks and snapshot_steps may be {_INT32} at most, and shards"
          f" {_MOST_SHARDS}; got {self.num_networks} networks in {shards}"
          f" shards, steps up to {steps[-1]}"
      )
    if shards < len(self.rnns):
      raise UserError(
          f"{self.num_networks} networks in shards of {self.shard_size} make"
          f" {shards} shards, too few for {len(self.rnns)} shapes: a shard"
          " holds networks of one shape; choose a smaller shard_size"
      )

  @property
  def num_shards(self) -> int:
    """How many shards there are."""
    if self.layout is not None:
      return len(self.layout)
    return -(-self.num_networks // self.shard_size)

  @property
  def rnn(self) -> RNNSpec:
    """The shape of all networks; ValueError where they have several."""
    if len(self.rnns) > 1:
      raise UserError(
          f"the zoo holds networks of {len(self.rnns)} shapes, and this is"
          f" about zoos of one: {', '.join(map(str, self.rnns))}"
      )
    return self.rnns[0]

  def to_json(self) -> dict[str, Any]:
    """`{"schema_version": ..., "spec": ...}`, JSON values only."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    fields["rnns"] = [dataclasses.asdict(rnn) for rnn in self.rnns]
    version = SCHEMA_VERSION
    if self.layout is None:
      version = 2
      del fields["layout"]
    return {
        "schema_version": version, "spec": json.loads(json.dumps(fields))
    }  # fmt: skip

  @classmethod
  def from_json(cls, data: dict[str, Any]) -> "ZooSpec":
    """The inverse of `to_json`: `from_json(spec.to_json()) == spec`.

    Raises:
      ValueError: a newer schema; a field that is missing, unknown or cannot
        be, by name.
    """
    check_version(data)
    spec = data.get("spec")
    if data["schema_version"] == 1 and isinstance(spec, dict):
      spec = dict(spec)
      if "rnn" in spec:  # all networks had one shape
        spec["rnns"] = [spec.pop("rnn")]
    if isinstance(spec, dict):
      spec = {"layout": None, **spec}
    fields = _fields("the spec", spec, cls)
    rnns = [_shape(rnn) for rnn in _sequence("rnns", fields["rnns"])]
    return cls(**{**fields, "rnns": tuple(rnns)})


def check_version(data: dict[str, Any]) -> None:
  """ValueError unless this software reads the schema of `data`."""
  version = data.get("schema_version") if isinstance(data, dict) else None
  if type(version) is not int or version < 1:
    raise UserError(
        f"it states no schema_version (found {version!r}, expected an integer"
        " from 1), so it does not describe a zoo"
    )
  if version > SCHEMA_VERSION:
    raise UserError(
        f"it has schema {version}, newer than schema {SCHEMA_VERSION}, the"
        " newest supported; install a newer weightspace"
    )


def differences(existing: ZooSpec, requested: ZooSpec) -> list[str]:
  """A line for each field that differs, nested ones by dotted name."""
  a = dict(_leaves(existing.to_json()["spec"]))
  b = dict(_leaves(requested.to_json()["spec"]))
  return [
      f"{name} is {_show(a, name):.200} there, {_show(b, name):.200} requested"
      for name in sorted(a.keys() | b.keys())
      if _show(a, name) != _show(b, name)
  ]


def _show(leaves, name):
  return json.dumps(leaves[name]) if name in leaves else "absent"


def _leaves(value, prefix=""):
  for name, item in value.items():
    if isinstance(item, dict):
      yield from _leaves(item, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", item


def _fields(what, data, cls):
  known = [field.name for field in dataclasses.fields(cls)]
  if not isinstance(data, dict):
    raise UserError(
        f"{what} must be an object with the fields {', '.join(known)}, got"
        f" {data!r}"
    )
  unknown = [
      f"{name!r}{nearest(name, known)}" for name in data if name not in known
  ]
  missing = [name for name in known if name not in data]
  if unknown:
    raise UserError(f"{what} has unknown fields: {'; '.join(unknown)}")
  if missing:
    raise UserError(f"{what} lacks the fields: {', '.join(missing)}")
  return dict(data)


def _shape(fields):
  """An RNNSpec from JSON."""
  rnn = _fields("a shape in the spec's rnns", fields, RNNSpec)
  (rnn["cell"],) = _names("cell", [rnn["cell"]])
  rnn["hidden"] = [
      _integer("hidden", h, 1) for h in _sequence("hidden", rnn["hidden"])
  ]
  if len(rnn["hidden"]) > _MOST_LAYERS:
    raise UserError(f"hidden has more than {_MOST_LAYERS} layers")
  rnn["cell"] = _names("cell", [rnn["cell"]])[0]
  rnn["inputs"] = _integer("inputs", rnn["inputs"], 1)
  rnn["outputs"] = _integer("outputs", rnn["outputs"], 1)
  return RNNSpec(**rnn)


def _shapes(rnns):
  rnns = tuple(_sequence("rnns", rnns))
  for rnn in rnns:
    if not isinstance(rnn, RNNSpec):
      raise UserError(f"rnns must be RNNSpecs, got {rnn!r}")
  if not rnns or len(set(rnns)) < len(rnns):
    raise UserError(f"rnns must be different shapes, at least one, got {rnns}")
  if len({(rnn.inputs, rnn.outputs) for rnn in rnns}) > 1:
    raise UserError(
        f"rnns must all have the same inputs and outputs, got {rnns}"
    )
  return rnns


def _layout(spec):
  shards = []
  for shard in _sequence("layout", spec.layout):
    if len(_sequence("layout", shard)) != len(Shard._fields):
      raise UserError(f"layout must hold {Shard._fields}, got {shard!r}")
    shape, networks, rows = shard
    shards.append(Shard(
        _integer("shape in layout", shape, 0),
        _integer("networks in layout", networks, 1),
        _integer("rows in layout", rows, 1),
    ))
  networks = sum(shard.networks for shard in shards)
  most = max((shard.networks for shard in shards), default=0)
  if (networks, most) != (spec.num_networks, spec.shard_size):
    raise UserError(
        f"layout has {networks} networks, {most} in a shard at most; the spec"
        f" says {spec.num_networks} and {spec.shard_size}"
    )
  if {shard.shape for shard in shards} != set(range(len(spec.rnns))):
    raise UserError(
        f"layout must use all of the {len(spec.rnns)} shapes in rnns, and no"
        " others"
    )
  for shard in shards:
    if not 1 <= shard.rows / shard.networks <= len(spec.snapshot_steps):
      raise UserError(
          f"layout has a shard of {shard.rows} rows of {shard.networks}"
          f" networks; each has from 1 to {len(spec.snapshot_steps)} snapshots"
      )
  return tuple(shards)


def _integer(name, value, minimum):
  try:
    number = None if isinstance(value, bool) else operator.index(value)
  except TypeError:
    number = None
  if number is None or number < minimum:
    raise UserError(f"{name} must be an integer >= {minimum}, got {value!r}")
  return number


def _sequence(name, value):
  if not isinstance(value, list | tuple):
    raise UserError(f"{name} must be a list, got {value!r}")
  return value


def _names(field, values):
  names = tuple(_sequence(field, values))
  for name in names:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
      raise UserError(
          f"{field}: {name!r} is not a plain name of letters, digits and _"
      )
  if len(set(names)) < len(names):
    raise UserError(f"{field} names something twice: {names}")
  return names


def _json_dict(name, value):
  try:
    normal = json.loads(json.dumps(value, allow_nan=False))
  except (TypeError, ValueError) as error:
    raise UserError(f"{name} must hold JSON values only: {error}") from error
  if not isinstance(normal, dict):
    raise UserError(f"{name} must be a dict of JSON values, got {value!r}")
  return normal
