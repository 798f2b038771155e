"""Generation and training survive SIGKILL and SIGTERM at any moment.

Real processes: see `kills`. For more of it, `python -m tests.faults`.
"""

import pytest

from tests.faults import jobs, kills

pytestmark = pytest.mark.slow

KILLS = 6  # each signal to each job


@pytest.mark.timeout(600)
def test_killed_at_random_everything_ends_in_the_same_bits(tmp_path):
  tally = kills.inject_faults(tmp_path, kills=KILLS)
  for by_signal in tally.kills.values():
    assert sum(by_signal.values()) >= KILLS // 2
  assert tally.runs >= 2


def test_a_lost_checkpoint_is_noticed(tmp_path):
  job = jobs.JOBS["run"]
  (tmp_path / "checkpoints" / "16").mkdir(parents=True)
  assert job.saved(tmp_path) == 16
  (tmp_path / "checkpoints" / "bad-16").mkdir()
  with pytest.raises(AssertionError):
    job.check(tmp_path)
