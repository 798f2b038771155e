"""Untrusted zoos: any content gives one clear error, and does no harm."""

import dataclasses
import io
import json
import os
import pickle
import shutil
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import damage
from tests.zoo import example
from weightspace import zoo
from weightspace.io import files, npy, npz

SPEC = dataclasses.replace(example.SPEC, num_networks=2)  # one shard
PLACES = 100
MEMORY = 2**24  # bytes; the zoo has some thousand


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
  return example.write(tmp_path_factory.mktemp("intact") / "zoo", SPEC)


@pytest.fixture(scope="module")
def copy(intact, tmp_path_factory):
  return shutil.copytree(intact, tmp_path_factory.mktemp("copy") / "zoo")


def read_all(path):
  """All that a user may call; returns the error, if any."""
  tracemalloc.start()
  try:
    with warnings.catch_warnings(record=True) as warned:
      warnings.simplefilter("always")
      problems = zoo.verify(path)
      opened = zoo.open(path)
      rows = np.arange(len(opened))
      opened.vectors(rows), opened.rollouts(rows), dict(opened.columns)
    return problems
  except (OSError, ValueError):  # ZooError is one
    return None
  finally:
    assert not warned
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


def names(path):
  return sorted(
      str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()
  )


NAMES = ["zoo.json", "shards/00000/shard.json"] + [
    f"shards/00000/{name}.npy" for name in example.arrays(0, SPEC)
]


def test_all_files_are_looked_at(intact):
  assert names(intact) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_at_any_of_100_places_is_detected_and_named(copy, name):
  file = copy / name
  content = file.read_bytes()
  generator = np.random.default_rng(len(name))
  places = generator.choice(len(content), min(PLACES, len(content)), False)
  try:
    for place in places:
      damaged = damage.flipped(content, place, int(generator.integers(8)))
      file.write_bytes(damaged)
      problems = zoo.verify(copy)
      assert problems and all(str(file) in line for line in problems), place
  finally:
    file.write_bytes(content)
  assert zoo.verify(copy) == []


@settings(max_examples=150)
@given(st.data())
def test_mutated_bytes_make_a_clear_error_or_none(copy, data):
  file = copy / data.draw(st.sampled_from(NAMES))
  content = file.read_bytes()
  start = data.draw(st.integers(0, len(content)))
  stop = data.draw(st.integers(start, min(len(content), start + 40)))
  new = data.draw(st.binary(max_size=60) | st.just(content[start:stop] * 2))
  try:
    file.write_bytes(content[:start] + new + content[stop:])
    problems = read_all(copy)
    if problems is not None:  # it could be opened
      assert problems or file.read_bytes() == content
  finally:
    file.write_bytes(content)


DEEP = "[" * 900 + "]" * 900
HOSTILE = st.sampled_from([
    "0", "-1", "1e400", "-1e400", "NaN", "1" * 4000, "1" * 5000, str(2**63),
    str(2**31), str(10**12), "null", "true", '""', '"x"', '"../../x"',
    '"../../../../../../etc/passwd"', '"\\u0000"', '"object"', '"O"',
    '"float64"', '"|V8"', '"m8[s]"', "[]", "{}", "[[]]", "[-1]", "[0]",
    f"[{10**12}]", f"[{10**12}, {10**12}]", DEEP, '{"a": ' * 900 + "1"
    + "}" * 900, '"' + "a" * 10000 + '"', "[" + "1, " * 10000 + "1]",
])  # fmt: skip


def planted(document, path, text):
  """The sealed text of a document with other JSON at one place."""
  document = json.loads(json.dumps(document))
  document.pop("checksum", None)
  holder = document
  for key in path[:-1]:
    holder = holder[key]
  holder[path[-1]] = "PLANT"
  sealed = files.seal(document)
  body = sealed[: sealed.index(',\n "checksum"')] + "\n}\n"
  body = body.replace('"PLANT"', text)
  return files.seal_text(body)


@settings(max_examples=200)
@given(st.data())
def test_forged_documents_make_a_clear_error_or_none(copy, data):
  """Whoever forges seals what he forged."""
  file = copy / data.draw(st.sampled_from(NAMES[:2]))
  content = file.read_text()
  document = json.loads(content)
  document.pop("checksum")
  places = [place for place in damage.paths(document) if place]
  place = data.draw(st.sampled_from(places))
  document = json.loads(content)
  if data.draw(st.booleans()) and place[0] != "spec":
    document["finished"] = False
  try:
    file.write_text(planted(document, place, data.draw(HOSTILE)))
    read_all(copy)
  finally:
    file.write_text(content)
  assert names(copy) == sorted(NAMES)


def header(descr="'<f4'", fortran="False", shape="(6, 47)", **kwargs):
  text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
  text = text.encode()
  text += b" " * (117 - len(text)) + b"\n"
  version = kwargs.get("version", b"\x01\x00")
  length = kwargs.get("length", len(text))
  return b"\x93NUMPY" + version + length.to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "start",
    [
        header(shape="(1000000000000,)"),
        header(shape=f"({2**62}, 8)"),
        header(shape="(-1, -1128)"),
        header(shape="(6, 47), 'more': 1"),
        header(shape="[6, 47]"),
        header(shape="(6, 4_7)"),
        header(shape="(6, 47L)"),
        header(shape="(" + "1, " * 40 + ")"),
        header(shape="(,)"),
        header(descr="'|O'"),
        header(descr="'O'"),
        header(descr="[('a', '<f4')]"),
        header(descr="'<f3'"),
        header(descr="__import__('os').abort()"),
        header(fortran="__import__('os').abort()"),
        header(version=b"\x02\x00"),
        header(length=65535),
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff",
        b"",
        pickle.dumps([1, 2, 3]),
    ],
)
def test_headers_that_are_none(tmp_path, start):
  file = tmp_path / "a.npy"
  file.write_bytes(start + bytes(6 * 47 * 4))
  tracemalloc.start()
  with pytest.raises(ValueError):
    npy.read_header(file)
  assert tracemalloc.get_traced_memory()[1] < 2**20
  tracemalloc.stop()


def test_a_good_header_is_none_of_these(tmp_path):
  file = tmp_path / "a.npy"
  file.write_bytes(header() + bytes(6 * 47 * 4))
  assert npy.read_header(file).shape == (6, 47)
  np.testing.assert_array_equal(np.load(file), np.zeros((6, 47), "f4"))


@given(
    st.sampled_from(["?", "i1", "u2", "<i4", "<f2", "<f4", ">f8", "c8"]),
    st.lists(st.integers(0, 4), max_size=4),
    st.booleans(),
)
def test_what_numpy_writes_is_read(copy, dtype, shape, fortran):
  array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
  array = np.asarray(array, order="F" if fortran else "C")
  file = copy.parent / "b.npz"
  file.unlink(missing_ok=True)
  npz.write(file, {"a": array, "b/c": array})
  arrays = npz.read(file)
  for name in ("a", "b/c"):
    assert arrays[name].dtype == array.dtype
    np.testing.assert_array_equal(arrays[name], array)
  with np.load(file) as plain:
    np.testing.assert_array_equal(plain["a"], array)


def archive(**members):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w") as file:
    for name, (text, kind) in members.items():
      file.writestr(f"{name}.npy", text, kind)
  return content.getvalue()


GOOD = header() + bytes(6 * 47 * 4)
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def test_a_good_archive_is_read(tmp_path):
  file = tmp_path / "a.npz"
  file.write_bytes(archive(a=(GOOD, STORED)))
  assert npz.read(file)["a"].shape == (6, 47)
  with pytest.raises(ValueError, match="it lacks b"):
    npz.read(file, ["b"])


@pytest.mark.parametrize(
    "content",
    [
        archive(a=(header(shape=f"({2**26},)") + bytes(2**28), DEFLATED)),
        archive(a=(header(shape="(1000000000000,)") + bytes(9), STORED)),
        archive(a=(header("'|O'", shape="(1,)") + pickle.dumps([1]), STORED)),
        archive(a=(GOOD, STORED)).replace(b"a.npy", b"a.txt"),
        archive(a=(GOOD, STORED), b=(GOOD, STORED)).replace(b"b.npy", b"a.npy"),
        b"PK\x05\x06" + bytes(18),
        b"",
    ],
    ids=["bomb", "announced", "pickle", "no array", "twice", "empty", "none"],
)
def test_archives_that_would_do_harm(tmp_path, content):
  file = tmp_path / "a.npz"
  file.write_bytes(content)
  tracemalloc.start()
  with pytest.raises(ValueError, match=r"a\.npz is not an archive of arrays"):
    npz.read(file, ["a"])
  assert tracemalloc.get_traced_memory()[1] < 2**21
  tracemalloc.stop()


@settings(max_examples=100)
@given(st.data())
def test_mutated_archives_make_a_clear_error_or_none(copy, data):
  content = archive(a=(GOOD, STORED), b=(GOOD, STORED))
  start = data.draw(st.integers(0, len(content)))
  stop = data.draw(st.integers(start, min(len(content), start + 9)))
  new = data.draw(st.binary(max_size=9))
  file = copy.parent / "a.npz"
  file.write_bytes(content[:start] + new + content[stop:])
  tracemalloc.start()
  try:
    npz.read(file)
  except ValueError as error:
    assert str(file) in str(error)
  assert tracemalloc.get_traced_memory()[1] < 2**21
  tracemalloc.stop()


@pytest.mark.parametrize("target", ["file", "folder", "pipe"])
def test_what_is_no_file_of_the_zoo_is_not_followed(intact, tmp_path, target):
  path = shutil.copytree(intact, tmp_path / "zoo")
  folder = path / "shards" / "00000"
  file = folder / "weights.npy"
  if target == "file":
    file.rename(tmp_path / "secret.npy")
    file.symlink_to(tmp_path / "secret.npy")
  elif target == "folder":
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    file = folder
  else:
    file.unlink()
    os.mkfifo(file)
  with pytest.raises(zoo.ZooError, match=r"links are not followed|is missing"):
    zoo.open(path)
  assert str(file) in "".join(zoo.verify(path))


def test_nothing_is_written_through_a_link(tmp_path):
  zoo.create(tmp_path / "zoo", SPEC)
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "zoo" / "shards").symlink_to(tmp_path / "elsewhere")
  with pytest.raises(ValueError, match="shards is a symbolic link"):
    zoo.create(tmp_path / "zoo", SPEC)
  with pytest.raises(ValueError, match="shards is a symbolic link"):
    zoo.write_shard(tmp_path / "zoo", 0, example.arrays(0, SPEC))
  assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_that_is_cut_short_in_use_is_an_error(intact, tmp_path):
  path = shutil.copytree(intact, tmp_path / "zoo")
  opened = zoo.open(path)
  opened.vectors([0])
  os.truncate(path / "shards" / "00000" / "weights.npy", 200)
  with pytest.raises(OSError, match=r"weights\.npy was cut short"):
    opened.vectors([5])


@pytest.mark.parametrize("limit", [0, 100, 700])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, limit):
  zoo.create(tmp_path / "zoo", SPEC)
  arrays = example.arrays(0, SPEC)
  with (
      damage.full_disk(limit),
      pytest.raises(OSError, match=r"\.(npy|json) could not be written: "),
  ):
    zoo.write_shard(tmp_path / "zoo", 0, arrays)
  with (
      damage.full_disk(limit),
      pytest.raises(OSError, match=r"zoo\.json\..* could not be written: "),
  ):
    zoo.create(tmp_path / "other", SPEC)
  assert [f.name for f in (tmp_path / "zoo" / "shards").iterdir()] == []
  zoo.write_shard(tmp_path / "zoo", 0, arrays)
  zoo.finalize(tmp_path / "zoo")
  assert zoo.verify(tmp_path / "zoo") == []


def test_a_folder_that_may_not_be_written_to(intact, tmp_path):
  path = shutil.copytree(intact, tmp_path / "zoo")
  zoo.create(tmp_path / "new", SPEC)
  arrays = example.arrays(0, SPEC)  # loads a cell, which nobody may not read
  with damage.read_only(tmp_path):
    assert zoo.verify(path) == []
    assert len(zoo.open(path)) == 6
    with pytest.raises(PermissionError, match="new/shards"):
      zoo.write_shard(tmp_path / "new", 0, arrays)
    with pytest.raises(PermissionError, match="other"):
      zoo.create(tmp_path / "other", SPEC)
