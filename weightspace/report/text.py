"""How names, numbers and languages are written."""

import html
import math
import re
from typing import Any

_SUPERSCRIPT = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_POWER = re.compile(r"([a-z])\^(\([^()]*\)|[a-z0-9]+)")


def escape(value: Any) -> str:
  """Text as it may stand in HTML, in an attribute too."""
  return html.escape(str(value), quote=True)


def is_number(value: Any) -> bool:
  """Whether it is a finite number; JSON has NaN and null for the others."""
  return (
      isinstance(value, (int, float))
      and not isinstance(value, bool)
      and math.isfinite(value)
  )


def number(value: Any, digits: int = 3) -> str:
  """A number with `digits` decimals, a dash where there is none."""
  return _minus(f"{value:.{digits}f}") if is_number(value) else "–"


def percent(value: Any, digits: int = 0) -> str:
  """A share as a percentage with `digits` decimals."""
  if not is_number(value):
    return "–"
  return _minus(f"{100 * value:.{digits}f}") + "\N{NO-BREAK SPACE}%"


def degrees(value: Any) -> str:
  """An angle with one decimal."""
  return f"{number(value, 1)}°" if is_number(value) else "–"


def precise_percent(value: Any) -> str:
  """A share as a percentage with one decimal."""
  return percent(value, 1)


def count(value: Any) -> str:
  """A whole number with thousands apart."""
  return f"{value:,.0f}" if is_number(value) else "–"


def duration(seconds: Any) -> str:
  """Seconds as people say them."""
  if not is_number(seconds):
    return "–"
  if seconds < 60:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def between(low: float, high: float, write=number) -> str:
  """The ends of an interval, the unit once: 33.0–37.6 %, −0.1 to 0.2."""
  first, last = write(low), write(high)
  if low < 0:
    return f"{first} to {last}"
  for unit in ("\N{NO-BREAK SPACE}%", "°"):
    if last.endswith(unit):
      first = first.removesuffix(unit)
  return f"{first}–{last}"


def has_words(html_text: str) -> bool:
  """Whether HTML holds more than tags and white space."""
  return bool(re.sub(r"<[^>]*>|\s", "", html_text)) or "<img" in html_text


def file_name(name: str) -> str:
  """A name as it may be one of a file, and of an element."""
  return "".join(c if c.isalnum() else "-" for c in name)


def language_html(name: Any) -> str:
  """a^n b^(n+1) as HTML with superscripts, the rest escaped."""

  def power(match):
    exponent = _minus(match[2].strip("()")).replace("n", "<i>n</i>", 1)
    return f"<i>{match[1]}</i><sup>{exponent}</sup>"

  return _POWER.sub(power, escape(name)).replace("</sup> <i>", "</sup><i>")


def language_plain(name: Any) -> str:
  """a^n b^(n+1) as plain text: aⁿbⁿ⁺¹."""

  def power(match):
    return match[1] + match[2].strip("()").translate(_SUPERSCRIPT)

  if not _POWER.search(str(name)):
    return str(name)
  return _POWER.sub(power, str(name)).replace(" ", "")


def _minus(digits):
  return digits.replace("-", "−")
