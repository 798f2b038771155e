"""Compares encoders by emulation, each trained from several seeds.

    python -m experiments.compare --zoo=DIR --workdir=DIR --size=small \\
        --encoders=statistics,interactive --seeds=0,1,2

Each pair of encoder and seed is a run of experiments.pretrain in a folder of
its own, WORKDIR/ENCODER-SEED; one that is finished is not run again, so that
several processes may take different encoders or seeds, and a last one prints
the table of all. `--set=encoder.probe_scale=4` changes a field of every config,
`--label=hard` then marks the runs, WORKDIR/ENCODER-LABEL-SEED.

Prints a table in Markdown, mean over seeds with the lowest and the highest, and
writes WORKDIR/comparison.json: every run with its config, commit and losses on
validation and on held-out tasks.
"""

from absl import flags

from zoo_gen import launch

_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of all runs.")
_ENCODERS = flags.DEFINE_list(
    "encoders",
    ["constant", "statistics", "flat", "transformer", "dws", "noninteractive",
     "interactive"],
    "Which to train.",
)  # fmt: skip
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of what is drawn.")
_SIZE = flags.DEFINE_string("size", "small", "Of experiments/configs.")
_SET = flags.DEFINE_multi_string(
    "set", [], "PART.FIELD=VALUE of every config; may be repeated."
)
_LABEL = flags.DEFINE_string("label", "", "Tells runs with --set from others.")


def main() -> None:
  """Trains what is missing, measures, prints."""
  from experiments import comparison
  from weightspace import parallel, zoo
  from weightspace.training.progress import Progress

  source = zoo.open(_ZOO.value)
  comparison.train(
      source,
      _WORKDIR.value,
      comparison.plan(
          source,
          _ENCODERS.value,
          _SEEDS.value,
          size=_SIZE.value,
          changes=_SET.value,
          label=_LABEL.value,
      ),
      progress=Progress(),
      mesh=parallel.mesh(parallel.DATA),
  )
  found = comparison.gather(_WORKDIR.value)
  comparison.write(_WORKDIR.value, found)
  print(comparison.table(found))


if __name__ == "__main__":
  launch.run(main, required=("zoo", "workdir"))
