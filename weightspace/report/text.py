"""How names, numbers and languages are written."""

import html
import math
import re
from collections.abc import Mapping
from typing import Any

# In the order of the paper's tables, the baseline first.
ENCODERS = {
    "constant": "constant code",
    "statistics": "layer-wise statistics",
    "flat": "flattened weights",
    "transformer": "parameter transformer",
    "dws": "DWSNet",
    "noninteractive": "non-interactive probing",
    "interactive": "interactive probing",
    "deep_linear": "deep linear probes",
    "hybrid": "DWSNet with probes",
    "dialogue": "listening and asking",
    "listening": "listening",
    "counting": "counting symbols, nothing learned",
    "truth": "the truth",
}
# What an encoder does, in a sentence
DESCRIPTIONS = {
    "constant": "The <i>constant code</i> is the baseline: the same vector for"
    " every network, so its emulator can only learn what networks do on"
    " average.",
    "statistics": "<i>Layer-wise statistics</i> look at the weights: means,"
    " spreads and quantiles.",
    "flat": "<i>Flattened weights</i> are read as one long vector.",
    "transformer": "The <i>parameter transformer</i> attends to the rows of the"
    " weight matrices.",
    "dws": "<i>DWSNet</i> reads the weights by layers that commute with"
    " reordering hidden units.",
    "noninteractive": "<i>Non-interactive probing</i> never looks at the"
    " weights: it runs the network on learned inputs, the same for all.",
    "interactive": "<i>Interactive probing</i> never looks at the weights: it"
    " runs the network and chooses each input from the answers so far.",
    "deep_linear": "<i>Deep linear probes</i> run the network on many short"
    " inputs that a linear generator makes.",
    "hybrid": "<i>DWSNet with probes</i> reads the weights together with the"
    " activations of each hidden unit on learned inputs.",
    "dialogue": "<i>Listening and asking</i> reads sequences that the network"
    " generates, and interrogates it as well.",
    "listening": "<i>Listening</i> never looks at the weights: it lets the"
    " network generate sequences by itself, and asks nothing.",
    "truth": "<i>The truth</i> is an upper bound: its emulator is given the"
    " task, the step and the accuracy of the network.",
}
DIVERGENCES = {
    "total_variation": "total variation distance",
    "reverse_kl": "reverse KL divergence [nats]",
    "kl": "KL divergence [nats]",
    "js": "Jensen–Shannon divergence [nats]",
    "cross_entropy": "cross-entropy [nats]",
}
SPLITS = {
    "train": "training",
    "validation": "validation",
    "ood": "held out",
}
_SUPERSCRIPT = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_POWER = re.compile(r"([a-z])\^(\([^()]*\)|[a-z0-9]+)")


def encoder(name: str) -> str:
  """What an encoder is called in a sentence."""
  return ENCODERS.get(name, name.replace("_", " "))


def ordered(encoders: Mapping[str, Any]) -> list[str]:
  """Names of encoders in the paper's order, unknown ones last."""
  known = list(ENCODERS)
  return sorted(
      encoders, key=lambda n: known.index(n) if n in known else len(known)
  )


def divergence(name: str) -> str:
  """What a divergence is called on an axis or in a sentence."""
  return DIVERGENCES.get(name, name.replace("_", " "))


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
