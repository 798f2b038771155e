"""A flipped bit in any file that users keep is detected."""

import pytest

from tests.faults import flips


@pytest.mark.parametrize("name", flips.MAKE)
def test_flipped_bits_are_detected(tmp_path, name):
  kept = flips.MAKE[name](tmp_path / "kept")
  assert not kept.detects(kept.files[0])  # undamaged
  assert not list(flips.undetected(kept, stride=997))


def test_an_undetected_flip_is_reported(tmp_path):
  file = tmp_path / "notes.txt"
  file.write_bytes(b"abc")
  kept = flips.Kept([file], lambda _: False)
  assert list(flips.undetected(kept)) == [(file, place) for place in range(3)]
  assert file.read_bytes() == b"abc"
