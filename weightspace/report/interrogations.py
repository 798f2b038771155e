"""What a page needs of the interrogations of the networks that it shows."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

from weightspace.report.requirements import (
  EACH,
  count,
  require,
  scalar,
  string,
)

REQUIRED = {
    EACH: {
        "encoder": string,
        "run?": scalar,
        "symbols": [string],
        "range?": None,
        "rows": [count],
        "probes": string,
        "answers": string,
        "shape": {
            "length": count, "parallel": count, "inputs": count,
            "outputs": count,
        },
    }
}  # fmt: skip


def check(
    results: Mapping[str, Any], interrogations: Mapping[str, Any]
) -> None:
  """Refuses interrogations that no page can show; see `schema.check`."""
  require(interrogations, REQUIRED, "interrogations")
  for family, entry in interrogations.items():
    where = f"interrogations[{family!r}]"
    shape = entry["shape"]
    for key, size in shape.items():
      if size < 1:
        raise ValueError(f"{where}['shape'][{key!r}] must be at least 1")
    if not entry["symbols"] and math.isqrt(shape["inputs"]) ** 2 != (
        shape["inputs"]
    ):
      raise ValueError(
          f"{where}['shape']['inputs'] must be a square of pixels where there"
          f" are no symbols, got {shape['inputs']}"
      )
    steps = len(entry["rows"]) * shape["length"] * shape["parallel"]
    for key, size in (("probes", "inputs"), ("answers", "outputs")):
      try:
        held = len(base64.b64decode(entry[key], validate=True))
      except (binascii.Error, ValueError) as error:
        raise ValueError(f"{where}[{key!r}] is not base64: {error}") from None
      if held != steps * shape[size]:
        raise ValueError(
            f"{where}[{key!r}] must hold {steps * shape[size]} bytes, rows x"
            f" length x parallel x {size}; it holds {held}"
        )
    rows = results.get("codes", {}).get(family, {}).get("rows")
    if rows and not all(0 <= row < len(rows["step"]) for row in entry["rows"]):
      raise ValueError(
          f"{where}['rows'] must be places in results['codes'][{family!r}]"
          f"['rows'], of which there are {len(rows['step'])}"
      )
