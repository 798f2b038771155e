"""Makes a zoo of a folder of `.npy` files, those of the paper's authors.

    python -m zoo_gen.import_npy --source=FOLDER --zoo=DIR

Both of their families are known: formal languages and tiled MNIST. Every row is
checked, and a sample of them replayed, before anything is written; run again
after it was killed, it goes on.
"""

from absl import flags

from weightspace import launch

_FOLDER = flags.DEFINE_string("source", None, "Folder of the .npy files.")
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo, made if missing.")
_SAMPLE = flags.DEFINE_integer(
    "sample", 64, "Rows to replay, at most.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 0, "Of their choice.", 0, 2**32 - 1)


def main() -> None:
  """Launches `weightspace.exchange.npy_import.import_zoo`."""
  from weightspace.exchange import imported, npy_import
  from weightspace.progress import Progress

  spec = npy_import.import_zoo(
      _FOLDER.value,
      _ZOO.value,
      sample=_SAMPLE.value,
      seed=_SEED.value,
      progress=Progress(),
  )
  print(
      f"{_ZOO.value}: {spec.num_networks} networks of {spec.family}, snapshots"
      f" at steps {list(spec.snapshot_steps)}"
  )
  for name, value in imported.summary(spec):
    print(f"{name}: {value}")


if __name__ == "__main__":
  launch.run(main, required=("source", "zoo"))
