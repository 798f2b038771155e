"""Makes a zoo: trains its networks and stores what they are and do.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/formal_languages.py:small

Killed at any moment and run again, it goes on and ends in the same bits. Any
field of the config can be set: --config.networks=64 --config.rnn.cell=gru.
"""

from absl import flags
from ml_collections import config_flags

from zoo_gen import launch

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "What to make: FILE.py:SIZE, see zoo_gen/configs."
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


def main() -> None:
  """Launches `zoo_gen.shards.generate`."""
  from weightspace.training.progress import Progress
  from zoo_gen import shards

  shards.generate(
      _ZOO.value,
      shards.plan(_CONFIG.value.to_dict()),
      progress=Progress(),
      group=_GROUP.value,
      time_unroll=_TIME_UNROLL.value,
      max_segment=_MAX_SEGMENT.value,
  )


if __name__ == "__main__":
  launch.run(main, required=("config", "zoo"))
