"""Writes a zoo as a data set of TensorFlow Datasets, in ArrayRecord.

    python -m zoo_gen.export_tfds --zoo=DIR --out=FOLDER

    tfds.builder_from_directory(FOLDER).as_data_source("train")

reads it, without weightspace and without TensorFlow; splits are train,
validation and ood.
"""

from absl import flags

from weightspace import launch

_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; must not be there.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the splits.", 0, 2**32 - 1)


def main() -> None:
  """Launches `weightspace.exchange.tfds.export_zoo`."""
  from weightspace.exchange import tfds
  from weightspace.progress import Progress

  counts = tfds.export_zoo(
      _ZOO.value, _OUT.value, seed=_SEED.value, progress=Progress()
  )
  shown = ", ".join(f"{name} {count}" for name, count in counts.items())
  print(f"{_OUT.value}: {shown} rows")


if __name__ == "__main__":
  launch.run(main, required=("zoo", "out"))
