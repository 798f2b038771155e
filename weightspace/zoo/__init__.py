"""Zoos of trained networks: a specification, a folder of shards, a reader.

To write one, call `create`, then `write_shard` for every shard in any order,
from as many processes as there are, then `finalize`. `from_networks` makes one
of networks that exist. To read it:

    zoo = weightspace.zoo.open(path)
    zoo.columns["step"], zoo.weights([0, 5]), zoo.rollouts([0, 5])

Training takes its rows from `splits`, its batches from `loader`.
"""

from weightspace.zoo.collecting import from_networks
from weightspace.zoo.integrity import verify
from weightspace.zoo.manifest import (
    ZooError,
    num_shards,
    shard_networks,
    shard_rnn,
    shard_rows,
)
from weightspace.zoo.reader import Zoo, final_rows, open, snapshots
from weightspace.zoo.spec import SCHEMA_VERSION, ZooSpec
from weightspace.zoo.store import (
    create,
    finalize,
    has_shard,
    missing_shards,
    write_shard,
)

__all__ = [
    "SCHEMA_VERSION",
    "Zoo",
    "ZooError",
    "ZooSpec",
    "create",
    "final_rows",
    "finalize",
    "from_networks",
    "has_shard",
    "missing_shards",
    "num_shards",
    "open",
    "shard_networks",
    "shard_rnn",
    "shard_rows",
    "snapshots",
    "verify",
    "write_shard",
]
