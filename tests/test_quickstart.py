"""The quickstart gives the same numbers again, whole or in two parts."""

import io
import json

import pytest

from experiments import quickstart
from weightspace.progress import Progress

pytestmark = pytest.mark.slow

pytest.importorskip("matplotlib")


class Killed(Exception):
  pass


class KilledAt(Progress):
  """A progress that kills the run when a stage begins."""

  def __init__(self, name):
    super().__init__(io.StringIO(), live=False)
    self._name = name

  def stage(self, name, **kwargs):
    if name == self._name:
      raise Killed(name)
    return super().stage(name, **kwargs)


@pytest.mark.timeout(400)
def test_the_same_numbers_whole_or_in_two_parts(tmp_path):
  whole, index = quickstart.run(
      tmp_path / "whole", "tiny", 0, Progress.silent()
  )
  with pytest.raises(Killed):
    quickstart.run(
        tmp_path / "parts", "tiny", 0, KilledAt("pretrain listening")
    )
  quickstart.run(tmp_path / "parts", "tiny", 0, Progress.silent())
  assert index.exists()
  written = [
      json.loads((tmp_path / name / "results.json").read_text())
      for name in ("whole", "parts")
  ]
  for results in written:
    for name in ("seconds", "job_seconds", "commit"):
      del results[name]
    for run in results["runs"].values():
      run["seconds"] = run["commit"] = None
  assert written[0] == written[1]  # where what is not finite is null
  assert written[0]["codes"] == whole["codes"]
  headline = written[0]["headline"]
  assert headline["encoder"] in ("constant", "statistics", "listening")
  assert {
      "task_per_count", "task_all_right", "accuracy_r2", "loss_removed",
  } <= headline.keys()  # fmt: skip
  with pytest.raises(FileExistsError, match="seed is 0 there, 1 here"):
    quickstart.run(tmp_path / "whole", "tiny", 1, Progress.silent())
