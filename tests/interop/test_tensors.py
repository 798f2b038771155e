"""Untrusted files are read in full or raise ValueError."""

import json
import struct
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightspace.interop import tensors


def safetensors_file(header, data=b""):
  """The bytes of a file with this header, true or not."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, start, stop):
  return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_memory_layout_is_not_written(tmp_path):
  path = tmp_path / "x.safetensors"
  rows = np.arange(12, dtype=np.float32).reshape(3, 4)
  arrays = {
      "transposed": rows.T,
      "strided": rows[:, ::2],
      "reversed": rows[::-1],
      "broadcast": np.broadcast_to(rows[0], (5, 4)),
      "scalar": np.float32(3),
      "empty": rows[:0],
      "big-endian": rows.astype(">f4"),
      "jax": jnp.asarray(rows).T,
      "half": jnp.asarray(rows, jnp.bfloat16),
  }
  tensors.write(path, arrays)
  result = tensors.read(path)
  assert set(result) == set(arrays)
  for name, array in arrays.items():
    np.testing.assert_array_equal(result[name], np.asarray(array))
    assert result[name].shape == np.shape(array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        b"PK\3\4 a pickle",
        struct.pack("<Q", 2**63),
        safetensors_file(b"{"),
        safetensors_file(b"[" * 100_000),
        safetensors_file({"a": 1}),
        safetensors_file({"a": entry("F32", [2], 0, 4)}, b"1234"),
        safetensors_file({"a": entry("F32", [2**40], 0, 2**42)}, b"1234"),
        safetensors_file({"a": entry("F32", [0, 2**62], 0, 0)}),
        safetensors_file({"a": entry("F32", [2**63, 2**63], 0, 0)}),
        safetensors_file({"a": entry("F32", [-1], 0, 4)}, b"1234"),
        safetensors_file({"a": entry("F4", [8], 0, 4)}, b"1234"),
        safetensors_file({"a": entry("O8", [1], 0, 8)}, b"12345678"),
        safetensors_file({"a": entry("F32", [1] * 99, 0, 4)}, b"1234"),
        safetensors_file({"a": entry("F32", [1], 0, 4)}, b"12345678"),
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
  path = tmp_path / "x.safetensors"
  path.write_bytes(content)
  tracemalloc.start()
  try:
    with pytest.raises(ValueError, match=r"x\.safetensors (cannot|is empty)"):
      tensors.read(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
  finally:
    tracemalloc.stop()


@given(st.data())
def test_no_damage_gives_another_error(tmp_path_factory, data):
  good = tensors.serialize({
      "a.weight": np.ones((2, 3), np.float32),
      "a.bias": np.zeros(2, np.float32),
  })
  damaged = bytearray(good)
  for _ in range(data.draw(st.integers(1, 4))):
    place = data.draw(st.integers(0, len(good) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
  length = data.draw(st.integers(0, len(good)) | st.just(len(good)))
  path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
  path.write_bytes(bytes(damaged[:length]))
  try:
    result = tensors.read(path)
  except ValueError as error:
    assert str(path) in str(error)
  else:
    assert sum(array.nbytes for array in result.values()) <= len(good)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"a": np.array([object()])}, "a has dtype object"),
        ({"a": np.ones(2, complex)}, "a has dtype complex128"),
        ({3: np.ones(2)}, "names of arrays are strings, got 3"),
    ],
)
def test_what_the_format_lacks_is_not_written(tmp_path, arrays, message):
  with pytest.raises(ValueError, match=message):
    tensors.write(tmp_path / "x.safetensors", arrays)
  assert not list(tmp_path.iterdir())


def test_a_missing_file_or_a_folder_is_an_os_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    tensors.read(tmp_path / "nothing")
  with pytest.raises(IsADirectoryError):
    tensors.read(tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_floats_that_fit_are_taken(dtype):
  array = jnp.asarray([[0.5, -0.0, jnp.inf], [1.0, -3.0, jnp.nan]])
  array = np.asarray(array).astype(jnp.dtype(dtype))[:, ::2]
  converted = tensors.float32("a", array)
  assert converted.dtype == np.float32 and converted.flags.c_contiguous
  np.testing.assert_array_equal(converted, array.astype(np.float32))
  assert np.signbit(converted).tolist() == np.signbit(array).tolist()


@pytest.mark.parametrize(
    "array, message",
    [
        (np.array([0.1]), "lose digits as float32"),
        (np.array([1e300]), "lose digits as float32"),
        (np.array([1]), "dtype int64"),
        (np.array(["a"]), "expected floating-point"),
        (np.array([object()]), "expected floating-point"),
        ([[1.0], [1.0, 2.0]], "cannot be read as an array"),
        (None, "expected floating-point"),
    ],
)
def test_what_does_not_fit_is_refused(array, message):
  with pytest.raises(ValueError, match=f"^w {message}|^w .*{message}"):
    tensors.float32("w", array)


def test_two_leaves_of_one_name_are_refused():
  assert tensors.named({"a": [1, 2]}) == {"a/0": 1, "a/1": 2}
  with pytest.raises(ValueError, match="same path"):
    tensors.named({"a/b": 1, "a": {"b": 2}})
