"""Zoos that are there already: the same one goes on, another is kept."""

from pathlib import Path
from typing import Any

from weightspace.zoo import manifest, store
from weightspace.zoo.collecting.plan import Begun
from weightspace.zoo.integrity import COLLECTED
from weightspace.zoo.spec import ZooSpec

_FIELDS = "split", "held_out", "first", "accuracy"


def find(
    path: Path, begun: Begun, networks: str | None = None
) -> ZooSpec | None:
  """The zoo at a path, if it is the one that is to be made.

  What it was collected from may have other names now.

  Args:
    path: of the zoo.
    begun: the zoo that is to be made, as far as it is known.
    networks: the checksum of its networks, once that is known.

  Returns:
    Its specification, or None where nothing is.

  Raises:
    FileExistsError: another zoo is there, or something else.
    ZooError: a zoo is there that cannot be read.
  """
  if not store.is_there(path):
    return None
  there, _ = manifest.read(path)
  origin = there.trainer.get(COLLECTED)
  if origin is None:
    raise FileExistsError(
        f"{path} holds a zoo that was not collected; choose another folder"
    )
  new: dict[str, Any] = {
      **begun.sha256,
      **({} if networks is None else {"networks": networks}),
      **{name: begun.config[name] for name in _FIELDS},
      "samples": begun.rollouts,
      "seed": begun.seed,
  }
  old = {
      **there.family_config, **origin["sha256"],
      "split": tuple(there.family_config["split"]),
      "samples": there.rollouts, "seed": there.seed,
  }  # fmt: skip
  differing = [name for name, value in new.items() if old[name] != value]
  if differing:
    raise FileExistsError(
        f"{path} holds another zoo ({there.num_networks} networks collected"
        f" from {origin['networks']}, {origin['table']}), which differs in"
        f" {', '.join(differing)}; choose another folder"
    )
  return there
