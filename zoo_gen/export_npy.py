"""Writes a zoo as a folder of `.npy` files, as the paper's authors have them.

    python -m zoo_gen.export_npy --zoo=DIR --out=FOLDER

Their programs can train on it. Zoos of other cells than LSTM, or of layers of
different sizes, are refused: that layout cannot hold them.
"""

from absl import flags

from weightspace import launch

_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_OUT = flags.DEFINE_string("out", None, "Folder to write; must not be there.")


def main() -> None:
  """Launches `weightspace.exchange.npy_export.export_zoo`."""
  from weightspace.exchange import npy_export
  from weightspace.progress import Progress

  summary = npy_export.export_zoo(_ZOO.value, _OUT.value, progress=Progress())
  print(f"{_OUT.value}: {summary.rows} rows of {summary.networks} networks")
  if summary.diverged:
    print(f"left out: {summary.diverged} networks that diverged")


if __name__ == "__main__":
  launch.run(main, required=("zoo", "out"))
