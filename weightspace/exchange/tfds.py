"""Zoos as data sets of TensorFlow Datasets, in ArrayRecord; no TensorFlow.

An export needs nothing of ours to be read:

    builder = tfds.builder_from_directory(DIR)
    train = builder.as_data_source("train")  # also: validation, ood

An example is a row of the zoo, a network at a step, with all the zoo holds of
it. `builder.info.metadata` has the zoo's specification, features their
descriptions. In a zoo of several shapes, `weights` differ in length, and
`shape` is the index of each network's shape in the specification's `rnns`.
"""

import os
from pathlib import Path

import numpy as np

from weightspace import settings, zoo
from weightspace.io import files
from weightspace.progress import Progress
from weightspace.zoo import integrity, loader, splits
from weightspace.zoo.reader import Zoo

NAME, VERSION = "weightspace_zoo", "1.0.0"
SHARD_BYTES = 2**27
HOMEPAGE = "https://arxiv.org/abs/2403.11998"
CITATION = """\
@inproceedings{herrmann2024learning,
  title     = {Learning Useful Representations of Recurrent Neural Network
               Weight Matrices},
  author    = {Herrmann, Vincent and Faccio, Francesco and Schmidhuber,
               J{\\"u}rgen},
  booktitle = {International Conference on Machine Learning},
  year      = {2024}
}"""
_ROWS_AT_ONCE = 64
_LEAST_SHARDS = 4  # of the largest split, so that readers can share it
_DESCRIPTIONS = {
    "weights": (
        "All weights and biases of the network, in the order of torch's"
        " parameters(): of each layer weight_ih, weight_hh, bias_ih, bias_hh,"
        " then weight and bias of the read-out."
    ),
    "log_probs": (
        "What the network said on each sequence: log-probabilities [K, T, V]."
    ),
    "row": "Number of the row in the zoo.",
    "shape": "Index of the network's shape in the specification's rnns.",
    "net_id": "Number of the network; its snapshots are several examples.",
    "step": "Training steps before this snapshot.",
    "finite": "Whether all weights are finite numbers.",
    "weight_decay": "Weight decay that the network was trained with.",
    "accuracy": "Accuracy of the network on its task, from 0 to 1.",
    "accuracy_answers": "Share of answers that are right, from 0 to 1.",
    "accuracy_counts": (
        "Share of the strings that the network writes that have the right"
        " counts of letters, whatever their order."
    ),
    "loss": "Cross-entropy, in nats, on sequences of the task.",
    "train_loss": "Cross-entropy, in nats, on images trained on.",
    "eval_loss": "Cross-entropy, in nats, on images not trained on.",
    "run": "Number of the network in the data it was imported from.",
    "correct": "As recorded in the data it was imported from, of 1000 strings.",
}


@settings.pinned()
def export_zoo(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress | None = None,
) -> dict[str, int]:
  """Writes a zoo as a data set with the splits train, validation and ood.

  Rows of networks that diverged are in no split. Within a split rows are in
  the zoo's order.

  Args:
    path: of the zoo.
    out: the folder, which appears once it is complete.
    seed: of the splits, `weightspace.zoo.splits`.
    shard_bytes: size of a file, at most, where a row is not larger.
    progress: silent by default.

  Returns:
    Rows of each split.

  Raises:
    ZooError: there is no zoo that can be opened.
    ValueError: a zoo with too few tasks for three splits.
    FileExistsError: `out` is there and not an empty folder.
  """
  import tensorflow_datasets as tfds

  progress = progress or Progress.silent()
  opened = zoo.open(path)
  family = opened.family
  parts = splits.of_zoo(opened, family, seed=seed)._asdict()
  total = sum(map(len, parts.values()))
  with (
      files.new_folder(Path(out)) as folder,
      progress.stage("export", total=total, unit="rows") as stage,
  ):
    example = _examples(opened, np.array([0]))[0]
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            name=NAME,
            version=tfds.core.Version(VERSION),
            data_dir=str(folder),
            module_name=__name__,
        ),
        features=_features(opened, family, example),
        description=_description(opened),
        homepage=HOMEPAGE,
        citation=CITATION,
        metadata=tfds.core.MetadataDict({
            "zoo": opened.spec.to_json(),
            "splits_seed": seed,
            "symbols": list(family.spec.symbols),
        }),
        disable_shuffling=True,
    )
    size = sum(array.nbytes for array in example.values())
    most = max(map(len, parts.values()))
    writer = tfds.core.SequentialWriter(
        info,
        max_examples_per_shard=min(
            max(1, shard_bytes // size), -(-most // _LEAST_SHARDS)
        ),
        file_format="array_record",
    )
    writer.initialize_splits(list(parts))
    for name, rows in parts.items():
      for start in range(0, len(rows), _ROWS_AT_ONCE):
        chosen = rows[start : start + _ROWS_AT_ONCE]
        writer.add_examples({name: _examples(opened, chosen)})
        stage.advance(len(chosen))
    writer.close_all()
  return {name: len(rows) for name, rows in parts.items()}


def _examples(opened: Zoo, rows: np.ndarray) -> list[dict[str, np.ndarray]]:
  examples: dict[int, dict[str, np.ndarray]] = {}
  for places in filter(len, loader.by_shape(opened, rows)):
    data = loader.load(opened, rows[places])
    arrays = {
        "weights": data.vectors,
        "sequences": data.sequences,
        "log_probs": data.log_probs,
        "task": data.task,
        **data.columns,
        "row": rows[places].astype(np.int64),
    }
    if len(opened.rnns) > 1:
      arrays["shape"] = opened.shapes[rows[places]].astype(np.int64)
    for i, place in enumerate(places):
      examples[place] = {
          name: np.asarray(array[i]) for name, array in arrays.items()
      }
  return [examples[place] for place in range(len(rows))]


def _features(opened, family, example):
  """Every array as bytes: TFDS would widen scalars, and lists of numbers."""
  from tensorflow_datasets import features

  lengths = ("weights",) if len(opened.rnns) > 1 else ()  # that differ
  described = _DESCRIPTIONS | {
      "sequences": _sequences(opened, family, example["sequences"]),
      "task": f"What the network was trained on: {_words(family.spec)}.",
      **{
          name: f"Codes of {', '.join(values)}, from 0; -1 where none is known."
          for name, values in family.spec.categories
      },
  }
  return features.FeaturesDict({
      name: features.Tensor(
          shape=(None,) if name in lengths else array.shape,
          dtype=array.dtype,
          encoding="bytes",
          doc=described.get(name, f"Column {name!r} of the zoo."),
      )
      for name, array in example.items()
  })


def _sequences(opened, family, sequences) -> str:
  if integrity.COLLECTED in opened.spec.trainer:
    return (
        "What the network read: tokens [K, T + 1], of which it read the first"
        " T, -1 after a sequence's end, and a last one of -1 where the network"
        " did not write the sequence itself; or reals [K, T, I], NaN after a"
        " sequence's end."
    )
  if family.spec.kind == "token":
    symbols = ", ".join(
        f"{i} {symbol}" for i, symbol in enumerate(family.spec.symbols)
    )
    return (
        f"Sequences [K, T + 1] of tokens ({symbols}), of which the network read"
        " the first T."
    )
  if family.experience is not None:
    return (
        "Episodes of the network's own, [K, T, I + 1]: what it read at each"
        " step, and 1 until the episode is over."
    )
  if sequences.dtype.kind == "f":
    return (
        "What the network read, [K, T - 1, I], after a first step of zeros: the"
        " tiles of an image, row by row."
    )
  digits = opened.spec.family_config["digits"]
  checksum = opened.spec.family_config["digits_sha256"]
  return (
      f"Images that the network was shown, [K], by their index in the data set"
      f" {digits!r}, whose images and labels have the sha256 {checksum}."
  )


def _words(spec) -> str:
  names = ", ".join(spec.task_names)
  if spec.classes is None:
    return names
  return f"{names}, integers from {spec.classes[0]} to {spec.classes[1]}"


def _description(opened: Zoo) -> str:
  spec = opened.spec
  shapes = ", ".join(
      f"{rnn.cell} with {list(rnn.hidden)} hidden units" for rnn in spec.rnns
  )
  return (
      f"Weights of {spec.num_networks} recurrent networks, {shapes}, trained on"
      f" tasks of the family {spec.family} and kept after"
      f" {', '.join(map(str, spec.snapshot_steps))} steps, each with"
      f" {spec.rollouts} sequences and what it said on them. Splits are by"
      " task: no task is in two of them; ood has the most novel ones. Networks"
      " whose weights are not finite are left out. Made by weightspace."
  )
