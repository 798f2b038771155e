"""Makes a zoo of networks that exist, in files.

    python -m zoo_gen.collect --networks='runs/*/model.pt' --table=runs.csv \\
        --inputs=inputs.npz --split=delay --zoo=ZOO

Networks are state dicts of torch or parameters of Flax: LSTMs, GRUs and RNNs of
any depths and widths. The inputs are what they read, tokens or numbers; the
table has a row for each file and any columns. All of it is checked before
anything is written; run again after it was killed, it goes on. The formats are
those of weightspace.zoo.from_networks, see docs/your_networks.md.
"""

from absl import flags

from weightspace import launch

_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo, made if missing.")
_NETWORKS = flags.DEFINE_string(
    "networks", None, "Pattern of the files, in quotes: .pt, .pth, .ckpt or"
    " .safetensors. By default, those in the table's column file.",
)  # fmt: skip
_INPUTS = flags.DEFINE_string(
    "inputs", None, "An .npz with inputs: tokens [K, T] or numbers [K, T, I];"
    " perhaps lengths [K], and outputs [n, K, T, V] of the models in the first"
    " n rows of the table, to compare with.",
)  # fmt: skip
_TABLE = flags.DEFINE_string(
    "table", None, "A .csv with a row for each file; its columns may be file,"
    " network, step, and any others.",
)  # fmt: skip
_SPLIT = flags.DEFINE_list(
    "split", ["network"], "Columns that are the task: networks of one task are"
    " in one split. network: each network is a task.",
)  # fmt: skip
_HELD_OUT = flags.DEFINE_enum(
    "held_out", "random", ["random", "highest"], "Which tasks are held out:"
    " random ones, or the highest values of the first column in --split.",
)  # fmt: skip
_ACCURACY = flags.DEFINE_string(
    "accuracy", None, "Column of accuracies, from 0 to 1, if there is one."
)
_FIRST = flags.DEFINE_integer(
    "first", None, "First token of what networks write, with --samples.", 0
)
_SAMPLES = flags.DEFINE_integer(
    "samples", 0, "Sequences that each network writes, beside the inputs.", 0
)
_SEED = flags.DEFINE_integer("seed", 0, "Of the samples.", 0, 2**32 - 1)
_PREFIX = flags.DEFINE_list(
    "prefix", None, "Names of the recurrent modules in a file, see embed."
)
_READOUT = flags.DEFINE_string("readout", None, "Name of the Linear readout.")
_EMBEDDING = flags.DEFINE_string(
    "embedding", None, "Name of the Embedding or Linear below, or none."
)


def main() -> None:
  """Launches `weightspace.zoo.from_networks`."""
  from weightspace import zoo
  from weightspace.interop import ArgumentNames
  from weightspace.progress import Progress
  from weightspace.zoo import collecting

  prefix = _PREFIX.value if _PREFIX.value is None else _PREFIX.value or ""
  zoo.from_networks(
      _ZOO.value, _NETWORKS.value, _INPUTS.value, _TABLE.value,
      split=_SPLIT.value, held_out=_HELD_OUT.value, accuracy=_ACCURACY.value,
      first=_FIRST.value, samples=_SAMPLES.value, seed=_SEED.value,
      parts=collecting.Parts(
          prefix, _READOUT.value, _EMBEDDING.value,
          ArgumentNames("--prefix", "--readout", "--embedding", "outputs"),
      ),
      progress=Progress(),
  )  # fmt: skip
  for name, value in collecting.summary(zoo.open(_ZOO.value)):
    print(f"{name:>24}  {value}")


if __name__ == "__main__":
  launch.run(main, required=("zoo", "inputs"))
