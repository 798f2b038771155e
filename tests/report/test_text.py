"""Numbers and languages are written for people."""

import numpy as np
import pytest

from weightspace.report import text, vocabulary
from weightspace.tasks import formal_language


@pytest.mark.parametrize(
    "task, html, plain",
    [
        (
            (1, 0, -2),
            "<i>a</i><sup><i>n</i></sup><i>b</i><sup><i>n</i>+1</sup>"
            "<i>c</i><sup><i>n</i></sup><i>d</i><sup><i>n</i>−2</sup>",
            "aⁿbⁿ⁺¹cⁿdⁿ⁻²",
        ),
        (
            (-3, 2, 0),
            "<i>a</i><sup><i>n</i></sup><i>b</i><sup><i>n</i>−3</sup>"
            "<i>c</i><sup><i>n</i>+2</sup><i>d</i><sup><i>n</i></sup>",
            "aⁿbⁿ⁻³cⁿ⁺²dⁿ",
        ),
    ],
)
def test_languages_have_superscripts(task, html, plain):
  name = formal_language.describe(np.array(task))
  assert text.language_html(name) == html
  assert text.language_plain(name) == plain


def test_other_names_are_kept_and_escaped():
  assert text.language_html("rotated by <90>") == "rotated by &lt;90&gt;"
  assert text.language_plain("rotated by 90°") == "rotated by 90°"


@pytest.mark.parametrize(
    "written, expected",
    [
        (text.number(0.04567), "0.046"),
        (text.number(-0.5, 1), "−0.5"),
        (text.number(None), "–"),
        (text.number(float("nan")), "–"),
        (text.percent(0.4955), "50\N{NO-BREAK SPACE}%"),
        (text.precise_percent(-0.0213), "−2.1\N{NO-BREAK SPACE}%"),
        (text.count(13766), "13,766"),
        (text.duration(4.21), "4.2 s"),
        (text.duration(41.5), "42 s"),
        (text.duration(151), "2 min 31 s"),
        (text.duration(7260), "2 h 1 min"),
        (text.between(0.1, 0.2), "0.100–0.200"),
        (text.between(-0.1, 0.2), "−0.100 to 0.200"),
        (text.between(0.1, 0.2, text.percent), "10–20\N{NO-BREAK SPACE}%"),
    ],
)
def test_numbers(written, expected):
  assert written == expected


def test_encoders_come_in_the_papers_order():
  given = {"mine": 0, "interactive": 0, "constant": 0, "flat": 0}
  expected = ["constant", "flat", "interactive", "mine"]
  assert vocabulary.ordered(given) == expected
  assert vocabulary.encoder("my_own") == "my own"
