import io

import pytest

from weightspace import progress


class Clock:
  now = 0.0

  def __call__(self):
    return self.now


@pytest.fixture
def clock():
  return Clock()


@pytest.fixture
def stream():
  return io.StringIO()


def lines(stream):
  return stream.getvalue().splitlines()


def test_eta_leaves_out_the_compilation(clock, stream):
  shown = progress.Progress(stream, clock=clock)
  with shown.stage("fit", total=100) as stage:
    assert stage.eta is None
    clock.now = 60.0  # compiles, then does the first ten
    stage.advance(10)
    assert stage.eta is None
    clock.now = 61.0
    stage.advance(10)
    assert stage.eta == pytest.approx(8.0)


def test_work_of_an_earlier_run_does_not_count(clock, stream):
  shown = progress.Progress(stream, clock=clock)
  with shown.stage("fit", total=1000, initial=800) as stage:
    for clock.now in (1.0, 2.0, 3.0):
      stage.advance(10)
    assert stage.eta == pytest.approx(17.0)
  assert lines(stream)[0] == "fit: 1000 steps, 800 done before"
  assert lines(stream)[-1] == "fit: done, 30 steps in 3.0 s"


def test_the_rate_is_that_of_late(clock, stream):
  with progress.Progress(stream, clock=clock).stage("x", total=1000) as stage:
    for clock.now in range(1, 401):  # ten times slower from 51 s on
      stage.advance(10 if clock.now <= 50 else 1)
    assert stage.eta == pytest.approx(1000 - 850)


def test_lines_are_at_least_some_seconds_apart(clock, stream):
  with progress.Progress(stream, clock=clock).stage("x", total=24) as stage:
    for clock.now in range(24):
      stage.advance(1, loss=0.5)
  assert lines(stream) == [
      "x: 24 steps",
      "x: 25 % (6/24 steps), 5.0 s, ETA 18 s, loss 0.5",
      "x: 45 % (11/24 steps), 10 s, ETA 13 s, loss 0.5",
      "x: 66 % (16/24 steps), 15 s, ETA 8.0 s, loss 0.5",
      "x: 87 % (21/24 steps), 20 s, ETA 3.0 s, loss 0.5",
      "x: done, 24 steps in 23 s",
  ]


def test_first_line_does_not_invent_an_eta(clock, stream):
  with progress.Progress(stream, clock=clock).stage("x", total=9) as stage:
    clock.now = 6.0
    stage.advance(1)
  assert lines(stream)[1] == "x: 11 % (1/9 steps), 6.0 s, ETA unknown"


def test_a_stage_that_fails_says_where(clock, stream):
  shown = progress.Progress(stream, clock=clock)
  with pytest.raises(RuntimeError), shown.stage("x", total=9) as stage:
    stage.advance(2)
    raise RuntimeError
  assert lines(stream)[-1] == "x: stopped at 2/9 steps after 0.0 s"


def test_live_bars_nest_and_end_as_lines(stream):
  shown = progress.Progress(stream, live=True)
  with shown.stage("all [2]", total=2) as outer:
    with shown.stage("inner", total=1, unit="tables") as inner:
      inner.advance(1, loss=0.25)
    outer.advance(2)
  text = stream.getvalue()
  assert text.index("inner: done, 1 tables") < text.index("all [2]: done")


def test_silence(capsys):
  with progress.Progress.silent().stage("x") as stage:
    stage.advance(1, loss=1.0)
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "value, text",
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7630, "2 h 07 min"),
    ],
)
def test_durations(value, text):
  assert progress.seconds(value) == text
