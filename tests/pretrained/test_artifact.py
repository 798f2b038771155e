"""Encoders are read as they were written; untrusted ones do no harm."""

import contextlib
import copy
import dataclasses
import json
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weightspace
from tests.pretrained import example
from weightspace import pretrained
from weightspace.interop import tensors
from weightspace.io import files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("artefact") / "encoder"
  weightspace.save_encoder(path, example.make(), card="# It")
  return path


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"shapes": example.SHAPES[1:]},
        {"encoder": example.READING, "shapes": example.SHAPES[:1]},
        {"encoder": {"name": "constant", "code": 4}, "with_heads": False},
    ],
)
def test_what_is_written_is_read(tmp_path, made):
  encoder = example.make(**made)
  path = tmp_path / "made" / "encoder"
  weightspace.save_encoder(path, encoder, card="# It")
  assert sorted(file.name for file in path.iterdir()) == [
      "README.md", "encoder.json", "tensors.safetensors"
  ]  # fmt: skip
  assert [file.name for file in path.parent.iterdir()] == ["encoder"]
  loaded = weightspace.load_encoder(path)
  example.assert_same(encoder, loaded)


def test_categories_are_read_and_left_out_where_there_are_none(tmp_path):
  encoder = example.make()
  categories = ("optimizer", ("adam", "sgd")), ("cell", ("gru",))
  tasks = dataclasses.replace(encoder.tasks, categories=categories)
  for name, tasks_, named in (
      ("without", encoder.tasks, False), ("with", tasks, True),
  ):  # fmt: skip
    weightspace.save_encoder(
        tmp_path / name, dataclasses.replace(encoder, tasks=tasks_)
    )
    assert weightspace.load_encoder(tmp_path / name).tasks == tasks_
    document = json.loads((tmp_path / name / "encoder.json").read_text())
    assert ("categories" in document["tasks"]) == named


def test_what_is_there_is_not_overwritten(folder, tmp_path):
  with pytest.raises(FileExistsError, match="not an empty folder"):
    weightspace.save_encoder(folder, example.make())
  with pytest.raises(ValueError, match=r"would have 0\.\d MB, at most 0\.0"):
    pretrained.save_encoder(tmp_path / "new", example.make(), most=1000)
  assert not list(tmp_path.iterdir())


def test_what_could_not_be_read_is_not_written(tmp_path):
  encoder = example.make()
  encoder.params["read_state"]["params"]["bias"] *= jnp.nan
  with pytest.raises(ValueError, match="bias is not finite everywhere"):
    weightspace.save_encoder(tmp_path / "new", encoder)
  assert not list(tmp_path.iterdir())


def test_arrays_of_other_shapes_or_dtypes_are_not_saved(tmp_path):
  encoder = example.make()
  table = encoder.reference
  for changes, message in (
      ({"params": jax.tree.map(lambda leaf: leaf[None], encoder.params)},
       r"cannot be saved: tensors\.safetensors: encoder/.* expected float32"),
      ({"reference": table._replace(net_id=np.int64(table.net_id))},
       r"reference/net_id is int64"),
  ):  # fmt: skip
    with pytest.raises(ValueError, match=message):
      weightspace.save_encoder(
          tmp_path / "new", dataclasses.replace(encoder, **changes)
      )
  assert not list(tmp_path.iterdir())


def test_what_there_is_not(tmp_path):
  with pytest.raises(FileNotFoundError, match="none of that name is shipped"):
    weightspace.load_encoder("nonsense")
  with pytest.raises(FileNotFoundError, match=r"encoder\.json"):
    weightspace.load_encoder(tmp_path)


@pytest.mark.parametrize("name", ["encoder.json", "tensors.safetensors"])
def test_a_flipped_bit_is_noticed(folder, tmp_path, name):
  for file in folder.iterdir():
    (tmp_path / file.name).write_bytes(file.read_bytes())
  content = bytearray((tmp_path / name).read_bytes())
  content[len(content) // 2] ^= 1
  (tmp_path / name).write_bytes(content)
  with pytest.raises(ValueError, match=name):
    weightspace.load_encoder(tmp_path)


def forge(folder, path, change, arrays=None):
  """Writes a malformed artefact with all checksums right."""
  path.mkdir(exist_ok=True)
  document = json.loads((folder / "encoder.json").read_text())
  del document["checksum"]
  loaded = tensors.read(folder / "tensors.safetensors")
  tensors.write(path / "tensors.safetensors", {**loaded, **(arrays or {})})
  document["tensors"] = {
      "bytes": (path / "tensors.safetensors").stat().st_size,
      "sha256": files.sha256(path / "tensors.safetensors"),
  }
  (path / "encoder.json").write_text(files.seal(change(document)))


def at(*names, value):
  """A change of a document at one place."""

  def change(document):
    document = copy.deepcopy(document)
    place = document
    for name in names[:-1]:
      place = place[name]
    place[names[-1]] = value
    return document

  return change


@pytest.mark.parametrize(
    "change, message",
    [
        (at("version", value=3), "format 3, newer than 2"),
        (at("version", value="1"), "version is '1', expected an integer"),
        (at("more", value=1), "has the fields"),
        (at("config", value=[]), r"config is '\[\]', expected an object"),
        (at("config", "encoder", "name", value="dsw"), "did you mean 'dws'"),
        (at("config", "encoder", "hiden", value=4), "did you mean 'hidden'"),
        (at("config", "encoder", "hidden", value=5), r"float32\[.*, expected"),
        (at("config", "encoder", "hidden", value=10**12), "from 0 to 10000"),
        (at("config", "encoder", "hidden", value=4.0), "expected an integer"),
        (at("config", "encoder", "hidden", value=0), "makes no encoder"),
        (at("config", "encoder", "layers", value=9999), "integer from 0 to"),
        (at("config", "encoder", "low", value="x"), "a finite number"),
        (at("config", "encoder", "low", value=10**400), "a finite number"),
        (at("zoo", "spec", "rnns", value=[]), "at least one"),
        (at("zoo", "spec", "rnns", 0, "hidden", value=[1] * 999), "to 256"),
        (at("zoo", "spec", "snapshot_steps", value=[2**70]), "snapshot_steps"),
        (at("tasks", "inputs", value=7), "tasks.inputs is '7'"),
        (at("tasks", "kind", value="tokens"), "'token' or 'real'"),
        (at("tasks", "classes", value=[0, 10**9]), "tasks.classes"),
        (at("tasks", "classes", value=[0, 1]), r"float32\[3, 18\], expected"),
        (at("tasks", "categories", value=[["optimizer"]]), "a column and its"),
        (at("tasks", "categories", value=[["a", ["\x1b"]]]), "one line"),
        (at("heads", value=None), "heads is 'None', expected a list"),
        (at("heads", 0, "property", value="acuracy"), "mean 'accuracy'"),
        (at("heads", 0, "members", value=2), r"expected float32\[2, "),
        (at("heads", 0, "layers", value=300), "integer from 0"),
        (at("heads", 1, "property", value="accuracy"), "lacks heads/accuracy"),
        (at("reference", "descriptions", value=["a"]), r"expected float32\[1,"),
        (at("reference", "descriptions", 0, value="\x1b[2J"), "one line"),
        (at("reference", value=None), "not the encoder's: 'reference"),
    ],
)
def test_malformed_documents_are_refused(folder, tmp_path, change, message):
  forge(folder, tmp_path / "forged", change)
  with pytest.raises(ValueError, match=message) as caught:
    weightspace.load_encoder(tmp_path / "forged")
  assert str(caught.value).startswith(str(tmp_path / "forged"))


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("more", np.zeros(3, np.float32), "not the encoder's: 'more'"),
        ("reference/task", np.full(12, 2, np.int32), "outside of 0 to 1"),
        ("reference/shape", np.full(12, -1, np.int32), "outside of 0 to 1"),
        ("reference/step", np.zeros(11, np.int32), r"int32\[11\], expected"),
        ("reference/codes", np.full((12, 4), np.inf, "f4"), "not finite"),
        ("heads/accuracy/widening", np.zeros(2, np.float32), "widening is flo"),
        ("encoder/read_state/params/bias", np.zeros(4), "float64"),
    ],
)
def test_malformed_tensors_are_refused(
    folder, tmp_path, name, array, message
):
  forge(folder, tmp_path / "forged", lambda d: d, {name: array})
  with pytest.raises(ValueError, match=message):
    weightspace.load_encoder(tmp_path / "forged")


def _places(value, path=()):
  yield path
  items = (
      value.items() if isinstance(value, dict)
      else enumerate(value) if isinstance(value, list) else ()
  )  # fmt: skip
  for name, item in items:
    yield from _places(item, (*path, name))


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, 2, 255, 10**4, 2**31, 2**40, 10**400]),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-2, 2**40), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=20)
@given(st.data())
def test_no_document_gives_another_error(folder, tmp_path_factory, data):
  path = tmp_path_factory.getbasetemp() / "fuzzed"

  def change(document):
    places = [p for p in _places(document) if p and p[0] != "about"]
    for _ in range(data.draw(st.integers(1, 2))):
      names = data.draw(st.sampled_from(places))
      # The first change may have removed the place of the second
      with contextlib.suppress(KeyError, IndexError, TypeError):
        document = at(*names, value=data.draw(_VALUES))(document)
    return document

  forge(folder, path, change)
  tracemalloc.start()
  try:
    loaded = weightspace.load_encoder(path)
  except (ValueError, OSError):
    pass
  else:
    assert loaded.tasks.inputs == 6
  finally:
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@given(st.data())
def test_no_bytes_give_another_error(folder, tmp_path_factory, data):
  path = tmp_path_factory.getbasetemp() / "damaged"
  path.mkdir(exist_ok=True)
  for file in folder.iterdir():
    (path / file.name).write_bytes(file.read_bytes())
  name = data.draw(st.sampled_from(["encoder.json", "tensors.safetensors"]))
  content = bytearray((folder / name).read_bytes())
  place = data.draw(st.integers(0, len(content) - 1))
  flip = data.draw(st.integers(1, 255))
  content[place] ^= flip
  (path / name).write_bytes(content[: data.draw(st.integers(0, 10**5))])
  with pytest.raises(ValueError):
    weightspace.load_encoder(path)
