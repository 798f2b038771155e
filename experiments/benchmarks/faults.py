"""Kills zoo generation and training at random; nothing may be lost or changed.

    python -m experiments.benchmarks.faults [--kills=100]

Processes are killed by SIGKILL, SIGTERM, or SIGTERM and then SIGKILL, and run
again until they are done. It stops at the first loss. The last line is JSON:

  kills       by what was killed and by signal
  terminated  answers to SIGTERM: exit status 143, all that was done saved
  runs        brought to their end, in the bits of one that was left alone
  processes   started in all
  seconds     of it all
"""

import json
import tempfile

from absl import flags

from weightspace import launch

_KILLS = flags.DEFINE_integer("kills", 100, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.", lower_bound=0)


def main() -> None:
  """Launches `experiments.faults.torment`."""
  import pathlib

  from experiments import faults

  with tempfile.TemporaryDirectory() as folder:
    tally = faults.torment(
        pathlib.Path(folder), kills=_KILLS.value, seed=_SEED.value
    )
  print(json.dumps(tally._asdict()))


if __name__ == "__main__":
  launch.run(main)
