"""Makes a zoo: trains its networks and stores what they are and do.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/formal_languages.py:small

Killed at any moment and run again, it goes on and ends in the same bits. Any
field of the config can be set: --config.networks=64 --config.rnn.cell=gru.

Several processes make a zoo together, each its share of the shards: those of a
job array (--shard_index=I --shard_count=N, or SLURM's own), of an srun or of a
pod. They need to see one folder; the last one finishes the zoo.
"""

import os

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    None, "What to make: FILE.py:SIZE, see zoo_gen/configs."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo, made if missing.")
_GROUP = flags.DEFINE_integer(
    "group", None, "Networks that a device trains at a time. By default one on"
    " CPU, as many as fit the memory of an accelerator.", lower_bound=1,
)  # fmt: skip
_TIME_UNROLL = flags.DEFINE_integer(
    "time_unroll", None, "Steps of time in one iteration of a loop. By default"
    " 4 on a GPU, 1 elsewhere.", lower_bound=1,
)  # fmt: skip
_MAX_SEGMENT = flags.DEFINE_integer(
    "max_segment", 1000, "Steps between two saves, at most.", lower_bound=1
)
_KERNELS = flags.DEFINE_bool(
    "kernels", None, "Whether kernels in C++ train networks on CPU: up to twice"
    " as fast, with other bits. The first use builds them, which takes a minute"
    " and a C++ compiler. By default WEIGHTSPACE_KERNELS, or else false.",
)  # fmt: skip
_SHARD_INDEX = flags.DEFINE_integer(
    "shard_index", None, "Make the shards I, I + N, I + 2 N, ... only.",
    lower_bound=0,
)  # fmt: skip
_SHARD_COUNT = flags.DEFINE_integer(
    "shard_count", None, "N, with --shard_index; 1 makes all shards, even in a"
    " SLURM array.", lower_bound=1,
)  # fmt: skip
_DISTRIBUTED = launch.define_distributed()


def main() -> None:
  """Launches `zoo_gen.shards.generate`."""
  from weightspace.progress import Progress
  from zoo_gen import shards

  left = shards.generate(
      _ZOO.value,
      shards.plan(_CONFIG.value.to_dict()),
      progress=Progress(),
      group=_GROUP.value,
      time_unroll=_TIME_UNROLL.value,
      max_segment=_MAX_SEGMENT.value,
      kernels=_KERNELS.value,
      share=_share(),
  )
  if left:
    print(
        f"shards that others have to make: {', '.join(map(str, left))}. The"
        " last process to end finishes the zoo, or any later run"
    )


def _share():
  """Of an array's tasks, each of which may be several processes."""
  import jax

  from weightspace import processes

  task = processes.share(_SHARD_INDEX.value, _SHARD_COUNT.value, os.environ)
  return processes.Share(
      task.index * jax.process_count() + jax.process_index(),
      task.count * jax.process_count(),
  )


if __name__ == "__main__":
  launch.run(main, required=("config", "zoo"), distributed=_DISTRIBUTED)
