"""The quickstart refuses another seed's folder before it computes anything.

That it ends in a page and the same numbers again is tested of the study that
it is, in tests/study; continuous integration runs it whole.
"""

import io

import pytest

from experiments import quickstart
from weightspace.progress import Progress

pytest.importorskip("matplotlib")


class Stopped(Exception):
  """A stage of computing began."""


class StoppedAtFirst(Progress):
  """A progress that stops the run when its first stage begins."""

  def __init__(self):
    super().__init__(io.StringIO(), live=False)

  def stage(self, name, **kwargs):
    raise Stopped(name)


def test_a_folder_is_of_one_seed(tmp_path):
  with pytest.raises(Stopped, match=r"compile|train networks"):
    quickstart.run(tmp_path / "run", "tiny", 0, StoppedAtFirst())
  with pytest.raises(FileExistsError, match="seed is 0 there, 1 here"):
    quickstart.run(tmp_path / "run", "tiny", 1, StoppedAtFirst())
  with pytest.raises(Stopped):  # the same seed goes on
    quickstart.run(tmp_path / "run", "tiny", 0, StoppedAtFirst())
