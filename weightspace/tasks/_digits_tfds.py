"""MNIST by TensorFlow Datasets, without TensorFlow.

The builder of MNIST in TFDS needs TensorFlow to write its files; this one
writes ArrayRecord. TFDS reads the sizes and checksums of its downloads from
`checksums.tsv`, beside this file.
"""

import functools
from pathlib import Path

import numpy as np

from weightspace.errors import UserError
from weightspace.tasks import _idx

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_KINDS = ("images-idx3", "labels-idx1")
_FILES = {
    split: [f"{URL}{name}-{kind}-ubyte.gz" for kind in _KINDS]
    for split, name in (("train", "train"), ("test", "t10k"))
}


def read(
    manual_dir: str | None = None, data_dir: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Reads MNIST's training images and labels; prepares them once.

  Args:
    manual_dir: folder of the four gzipped files, for machines without a
      network. By default they are taken from `downloads/manual` in the TFDS
      folder, or downloaded.
    data_dir: the TFDS folder, by default the user's (TFDS_DATA_DIR).

  Returns:
    images [60000, 28, 28] and labels [60000], uint8.

  Raises:
    ValueError: the files cannot be downloaded, or have wrong checksums.
  """
  import tensorflow_datasets as tfds

  builder = _builder()(data_dir=data_dir, file_format="array_record")
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  try:
    builder.download_and_prepare(download_config=config)
  except Exception as error:  # TFDS's own, requests', the operating system's
    reason = " ".join(str(error).split())
    raise UserError(
        "MNIST could not be prepared by TensorFlow Datasets"
        f" ({type(error).__name__}: {reason}). Put {', '.join(_names())} into a"
        " folder and use digits=tfds:DIR, or use other digits (idx:DIR,"
        " mnist_5k)"
    ) from error
  examples = sorted(
      builder.as_data_source(split="train"),
      key=lambda example: int(example["index"]),
  )
  return (
      np.stack([example["image"] for example in examples]),
      np.array([example["label"] for example in examples], np.uint8),
  )


def _names():
  return [Path(url).name for urls in _FILES.values() for url in urls]


@functools.cache  # once: TFDS registers builders by name
def _builder():
  import tensorflow_datasets as tfds

  class WeightspaceMnist(tfds.core.GeneratorBasedBuilder):
    """MNIST's images as raw bytes, with their indices in the files."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      return self.dataset_info_from_configs(
          features=tfds.features.FeaturesDict({
              "image": tfds.features.Tensor(
                  shape=(_idx.SIDE, _idx.SIDE),
                  dtype=np.uint8,
                  encoding="bytes",
              ),
              "label": tfds.features.Scalar(dtype=np.uint8),
              "index": tfds.features.Scalar(dtype=np.int64),
          }),
          description="Handwritten digits, of 28 x 28 pixels.",
          homepage="http://yann.lecun.com/exdb/mnist/",
          disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      # `download` prefers files in the manual folder
      return {
          split: self._generate_examples(*map(Path, paths))
          for split, paths in dl_manager.download(_FILES).items()
      }

    def _generate_examples(self, images, labels):
      pairs = zip(_idx.read_idx(images, 3), _idx.read_idx(labels, 1))
      for index, (image, label) in enumerate(pairs):
        yield index, {"image": image, "label": label, "index": index}

  return WeightspaceMnist
