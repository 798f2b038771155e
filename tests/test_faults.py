"""Generation and training survive SIGKILL and SIGTERM at any moment.

Real processes: see `experiments.faults`. For more of it,
`python -m experiments.benchmarks.faults --kills=100`.
"""

import pytest

from experiments import faults

KILLS = 20


@pytest.mark.timeout(600)
def test_killed_at_random_everything_ends_in_the_same_bits(tmp_path):
  tally = faults.torment(tmp_path, kills=KILLS)
  for by_signal in tally.kills.values():
    assert sum(by_signal.values()) >= KILLS // 2
  assert tally.runs >= 2


def test_the_harness_sees_what_is_lost(tmp_path, monkeypatch):
  """What it checks with can fail."""
  job = faults.JOBS["run"]
  (tmp_path / "checkpoints" / "16").mkdir(parents=True)
  assert job.saved(tmp_path) == 16
  (tmp_path / "checkpoints" / "bad-16").mkdir()
  with pytest.raises(AssertionError):
    job.check(tmp_path)
