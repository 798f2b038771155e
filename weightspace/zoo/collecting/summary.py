"""What is known of the networks of a collected zoo, in words."""

import jax
import numpy as np

from weightspace.zoo import splits
from weightspace.zoo.integrity import COLLECTED
from weightspace.zoo.reader import Zoo
from weightspace.zoo.spec import RESERVED

_SHOWN = 6  # categories


def summary(opened: Zoo) -> list[tuple[str, str]]:
  """(what, how much) of a collected zoo's origin and columns; else nothing."""
  origin = opened.spec.trainer.get(COLLECTED)
  if origin is None:
    return []
  config = opened.spec.family_config
  known = [name for name in opened.columns if name not in RESERVED]
  return [
      ("collected from", f"{origin['networks']}, with {origin['inputs']}"),
      ("rows", origin["table"]),
      (
          "split",
          f"by {', '.join(config['split'])}; held out: {config['held_out']},"
          f" {_held_out(opened)}",
      ),
      *(
          (f"column {name}", _column(array, config["categories"].get(name)))
          for name, array in ((n, opened.columns[n]) for n in known)
      ),
  ]


def _held_out(opened):
  config = opened.spec.family_config
  family = opened.family
  every, finite = opened.columns["task"], opened.columns["finite"]
  novelty = np.asarray(jax.vmap(family.novelty)(every))
  rows = splits.by_task(every, novelty, seed=0).ood
  rows = rows[finite[rows]]
  task = every[rows]
  text = f"{len(np.unique(task, axis=0))} tasks of {len(rows)} rows"
  for name, values in zip(config["split"], task.T):
    if name not in config["categories"] and len(np.unique(values)) == 1:
      text += f", with a single {name}, of which no R2 can be computed"
  return text


def _column(array, values):
  if values is not None:
    shown = ", ".join(values[:_SHOWN]) + ", ..." * (len(values) > _SHOWN)
    text, empty = f"{len(values)} categories: {shown}", np.sum(array < 0)
  else:
    empty = np.sum(np.isnan(array))
    text = "no numbers"
    if empty < len(array):
      text = f"numbers from {np.nanmin(array):g} to {np.nanmax(array):g}"
  return text + (f"; {empty} rows are empty" if empty else "")
