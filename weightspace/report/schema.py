"""What a report needs of results, checked before anything is drawn.

The results are our own files: a check says which file is not one, and drawing
says what is missing from a damaged one, see `explained`.
"""

import base64
import binascii
import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from weightspace.errors import UserError

PARTS = (
    "zoos", "search", "emulation", "pretraining", "prediction", "clones",
    "codes", "transcripts", "variants", "labels", "invariance", "neighbours",
)  # fmt: skip


def present(results: Any) -> Any:
  """The same without mappings that are empty: stages that have not run."""
  if not isinstance(results, Mapping):
    return results
  kept = {key: present(value) for key, value in results.items()}
  return {
      key: value
      for key, value in kept.items()
      if not (isinstance(value, Mapping) and not value)
  }


def check(
    results: Mapping[str, Any], interrogations: Mapping[str, Any] | None = None
) -> None:
  """Refuses what no report can be made of.

  Raises:
    ValueError: not results of a study, or interrogations of other sizes than
      they say, which a browser would show as noise.
  """
  if not isinstance(results, Mapping):
    kind = type(results).__name__
    raise UserError(f"results must be a mapping, got {kind}")
  for part in PARTS:
    if not isinstance(results.get(part, {}), Mapping):
      kind = type(results[part]).__name__
      raise UserError(f"results[{part!r}] must be a mapping, got {kind}")
  if "zoo" in results and "zoos" not in results:
    raise UserError(
        "results are of an earlier version of weightspace: run again what"
        " wrote them, in another --workdir"
    )
  if not set(results) & set(PARTS):
    raise UserError(
        f"results have nothing to report: none of {', '.join(PARTS)}"
    )
  with explained("interrogations"):
    for family, one in (interrogations or {}).items():
      rows = results.get("codes", {}).get(family, {}).get("rows")
      _check_interrogation(one, rows, f"interrogations[{family!r}]")


def _check_interrogation(one, rows, where):
  shape = one["shape"]
  if min(shape.values()) < 1:
    raise UserError(f"{where}['shape'] must be sizes of at least 1")
  pixels = shape["inputs"]
  if not one["symbols"] and math.isqrt(pixels) ** 2 != pixels:
    raise UserError(
        f"{where}['shape']['inputs'] must be a square of pixels where there"
        f" are no symbols, got {pixels}"
    )
  steps = len(one["rows"]) * shape["length"] * shape["parallel"]
  for key, size in (("probes", "inputs"), ("answers", "outputs")):
    held = len(base64.b64decode(one[key], validate=True))
    if held != steps * shape[size]:
      raise UserError(
          f"{where}[{key!r}] must hold {steps * shape[size]} bytes, rows x"
          f" length x parallel x {size}; it holds {held}"
      )
  if rows and not all(0 <= row < len(rows["step"]) for row in one["rows"]):
    raise UserError(
        f"{where}['rows'] must be places among {len(rows['step'])} rows"
    )


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
  """Turns errors of reading a damaged file into one line that says so.

  Raises:
    ValueError: in the place of the error.
  """
  try:
    yield
  except binascii.Error as error:
    raise UserError(f"{what} are damaged, not base64: {error}") from error
  except (AttributeError, IndexError, KeyError, TypeError) as error:
    raise UserError(
        f"{what} are damaged or of another version of weightspace: {error!r}"
    ) from error
