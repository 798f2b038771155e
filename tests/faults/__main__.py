"""Injects faults; nothing may be lost, changed or go unnoticed.

    python -m tests.faults [--kills=100] [--stride=1]

First a bit of every byte of a zoo, a checkpoint and an encoder is flipped, each
by itself: all must be detected. Then processes that generate a zoo or pretrain
an encoder are killed at random by SIGKILL, SIGTERM, or SIGTERM and then
SIGKILL, and run again until they are done. It stops at the first loss. The last
line is JSON:

  flips       bits flipped and detected
  kills       by job and signal
  terminated  answers to SIGTERM: exit status 143, all work saved
  runs        that ended, in the bits of an undisturbed one
  processes   started in all
  seconds     of the kills
"""

import json
import pathlib
import sys
import tempfile

from absl import flags, logging

from weightspace import launch

_KILLS = flags.DEFINE_integer("kills", 100, "How many.", lower_bound=1)
_STRIDE = flags.DEFINE_integer("stride", 1, "Of flipped bytes.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.", lower_bound=0)


def main() -> None:
  """Launches `flips.undetected` and `kills.inject_faults`."""
  from tests.faults import flips, kills

  logging.set_verbosity(logging.FATAL)  # Orbax logs what is damaged
  count = 0
  with tempfile.TemporaryDirectory() as folder:
    for name, make in flips.MAKE.items():
      kept = make(pathlib.Path(folder) / "flips" / name)
      for file, place in flips.undetected(kept, _STRIDE.value):
        sys.exit(f"undetected: byte {place} of {file}")
      sizes = [file.stat().st_size for file in kept.files]
      count += sum(len(range(0, size, _STRIDE.value)) for size in sizes)
      print(f"{name}: flips in {sum(sizes)} bytes detected", flush=True)
    tally = kills.inject_faults(
        pathlib.Path(folder) / "kills", kills=_KILLS.value, seed=_SEED.value
    )
  print(json.dumps({"flips": count, **tally._asdict()}))


if __name__ == "__main__":
  launch.run(main)
