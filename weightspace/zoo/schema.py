"""What a zoo is made of: its specification, and the specification as JSON."""

import dataclasses
import json
import operator
import re
from dataclasses import dataclass
from typing import Any

from weightspace.plugins import nearest
from weightspace.rnn import RNNSpec

SCHEMA_VERSION = 2
RESERVED = (
    "weights", "sequences", "log_probs", "net_id", "step", "task", "finite",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_]{1,200}")
_INT32 = 2**31 - 1  # ids and steps are stored as such
_MOST_SHARDS = 10**6
_MOST_LAYERS = 1000


@dataclass(frozen=True)
class ZooSpec:
  """Everything that decides the contents of a zoo.

  Attributes:
    family: name of a module in `weightspace.tasks`.
    family_config: fields of that module's `Config`, JSON values.
    rnns: the shapes of the networks, nearly always one; they read and write
      the same. All networks of a shard have one shape, and shards take turns.
    trainer: the training recipe, JSON values.
    num_networks: N.
    shard_size: networks in a shard; the last one may hold fewer.
    snapshot_steps: the S steps after which weights are kept, increasing.
    rollouts: sequences kept of each row, K.
    seed: of all that is random in the zoo.
    task_names: what the D numbers of a task mean.
    metric_names: the columns that `TaskFamily.performance` returns.

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
      raise ValueError(f"snapshot_steps must increase, got {steps}")
    if max(self.num_networks, steps[-1]) > _INT32:
      raise ValueError(
          f"num_networks and snapshot_steps may be {_INT32} at most, got"
          f" {self.num_networks} and {steps[-1]}"
      )
    shards = -(-self.num_networks // self.shard_size)
    if shards > _MOST_SHARDS:
      raise ValueError(
          f"shard_size {self.shard_size} makes {shards} shards of"
          f" {self.num_networks} networks, more than {_MOST_SHARDS}; choose a"
          " larger one"
      )
    if not self.task_names:
      raise ValueError("task_names is empty: a task needs at least one number")
    taken = sorted(set(self.metric_names) & set(RESERVED))
    if taken:
      raise ValueError(
          f"metric_names holds {', '.join(taken)}: names of other columns of"
          f" a zoo; take others than {', '.join(RESERVED)}"
      )
    object.__setattr__(self, "rnns", _shapes(self.rnns))
    shards = -(-self.num_networks // self.shard_size)
    if shards < len(self.rnns):
      raise ValueError(
          f"{self.num_networks} networks in shards of {self.shard_size} make"
          f" {shards} shards, too few for {len(self.rnns)} shapes: a shard"
          " holds networks of one shape; choose a smaller shard_size"
      )

  @property
  def rnn(self) -> RNNSpec:
    """The shape of all networks; ValueError where they have several."""
    if len(self.rnns) > 1:
      raise ValueError(
          f"the zoo holds networks of {len(self.rnns)} shapes, and this is"
          f" about zoos of one: {', '.join(map(str, self.rnns))}"
      )
    return self.rnns[0]

  def to_json(self) -> dict[str, Any]:
    """`{"schema_version": ..., "spec": ...}`, JSON values only."""
    return {
        "schema_version": SCHEMA_VERSION,
        "spec": json.loads(json.dumps(dataclasses.asdict(self))),
    }

  @classmethod
  def from_json(cls, data: dict[str, Any]) -> "ZooSpec":
    """The inverse of `to_json`: `from_json(spec.to_json()) == spec`.

    Raises:
      ValueError: a newer schema; a field that is missing, unknown or cannot
        be, by name.
    """
    check_version(data)
