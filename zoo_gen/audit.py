"""Checks a zoo: whole, and true.

    python -m zoo_gen.audit --zoo=DIR [--repair]

Recomputes every checksum; looks through all weights for NaN and duplicates;
of a random sample of rows replays the stored rollouts from the weights and
measures the networks again. Prints a summary; the exit status is 1 when
something is wrong. With --repair, damaged shards are made again first, to the
bit; what they are replaced for goes to DIR/broken.
"""

from absl import flags

from weightspace import launch

_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_SAMPLE = flags.DEFINE_integer(
    "sample", 64, "Rows to recompute, at most.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Of their choice.", 0, 2**32 - 1)
_REPAIR = flags.DEFINE_bool(
    "repair", False, "Make what is damaged again, where that is possible."
)
_GROUP = flags.DEFINE_integer(
    "group", None, "The --group that the zoo was made with, for --repair.",
    lower_bound=1,
)  # fmt: skip

_SHOWN = 40  # problems printed, at most


def main() -> int:
  """Launches `zoo_gen.inspection.inspect`."""
  from weightspace.progress import Progress
  from zoo_gen import inspection, repair

  if _REPAIR.value:
    for line in repair.repair(
        _ZOO.value, group=_GROUP.value, progress=Progress()
    ):
      print(line)
  report = inspection.inspect(
      _ZOO.value, sample=_SAMPLE.value, seed=_SEED.value, progress=Progress()
  )
  for name, value in report.summary:
    print(f"{name:>24}  {value}")
  for problem in report.problems[:_SHOWN]:
    print(f"WRONG: {problem}")
  if len(report.problems) > _SHOWN:
    print(f"... and {len(report.problems) - _SHOWN} more")
  return 1 if report.problems else 0


if __name__ == "__main__":
  launch.run(main, required=("zoo",))
