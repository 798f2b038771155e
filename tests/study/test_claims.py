"""Verdicts on claims follow from the numbers of a study."""

import pytest

from experiments.study import claims, evidence

RUNS = {"a": {"commit": "1"}, "b": {"commit": "2"}}


def judged(low, high, above=0.0):
  cell = {"value": (low + high) / 2, "low": low, "high": high, "runs": ["b"]}
  claim = claims.Claim("c", "o", "s", lambda results: cell, above)
  return claims._verdict(claim, {"runs": RUNS, "command": "x", "commit": "0"})


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (0.6, 0.9, claims.HOLDS),
        (0.4, 0.9, claims.OPEN),
        (0.1, 0.4, claims.FAILS),
    ],
)
def test_a_claim_holds_if_the_whole_interval_exceeds_it(low, high, verdict):
  one = judged(low, high, above=0.5)
  assert one["verdict"] == verdict
  assert (one["low"], one["high"], one["commit"]) == (low, high, "2")


def test_no_claim_is_dropped_where_nothing_was_measured():
  every = claims.of({"runs": {}, "command": "x", "commit": "0"})
  assert [one["claim"] for one in every] == [c.claim for c in claims.CLAIMS]
  assert {one["verdict"] for one in every} == {claims.OPEN}


def test_a_difference_has_the_farthest_ends():
  a, b = ({"value": v, "low": v - 1, "high": v + 2} for v in (5, 3))
  assert evidence.minus(a, b) == {
      "value": 2, "low": -1, "high": 5, "runs": [],
  }  # fmt: skip


def test_an_undefined_number_decides_nothing():
  cell = {"value": None, "low": None, "high": None}
  number = {"value": 0.9, "low": 0.8, "high": 1.0}
  results = {"clones": {"formal_language": {
      name: {"correlation_within_steps": cell if name == "dws" else number}
      for name in ("interactive", "dws")
  }}}  # fmt: skip
  measure = evidence.clones("interactive", ("dws",))
  with pytest.raises(KeyError):
    measure(results)
  claim = claims.Claim("x", "y", "z", measure)
  assert claims._verdict(
      claim, {**results, "runs": {}, "command": "x", "commit": "0"}
  )["verdict"] == claims.OPEN
