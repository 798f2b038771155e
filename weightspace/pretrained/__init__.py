"""Pretrained encoders as folders: embed networks without their zoo.

    encoder = weightspace.load_encoder("ENCODER")  # a folder, or a shipped one
    code = encoder.embed(weights)  # [Z]
    examination = encoder.examine(weights)  # properties, nearest networks
"""

import os
from pathlib import Path

from weightspace.pretrained import artifact
from weightspace.pretrained.encoder import Examination, PretrainedEncoder
from weightspace.pretrained.ensembles import Ensemble, Prediction
from weightspace.pretrained.reference import Neighbour, Reference

__all__ = [
    "Ensemble",
    "Examination",
    "Neighbour",
    "Prediction",
    "PretrainedEncoder",
    "Reference",
    "load_encoder",
    "names",
    "save_encoder",
]

MODELS = Path(__file__).parent / "models"


def names() -> tuple[str, ...]:
  """Names of the encoders that are shipped with the package."""
  documents = MODELS.glob(f"*/{artifact.JSON}")
  return tuple(sorted(path.parent.name for path in documents))


def load_encoder(path: str | os.PathLike) -> PretrainedEncoder:
  """The encoder in a folder, or the one that is shipped under a name.

  A name of a shipped encoder comes first; write "./NAME" for a folder.

  Raises:
    FileNotFoundError: there is neither; lists the shipped ones.
    ValueError: the folder's files are damaged, or no encoder's.
  """
  if os.fspath(path) in names():
    return artifact.read(MODELS / path)
  path = Path(path).expanduser()
  if not path.exists():
    raise FileNotFoundError(
        f"{path} is no folder of an encoder, and none of that name is shipped;"
        f" shipped are: {', '.join(names()) or 'none'}"
    )
  if not (path / artifact.JSON).exists():
    raise FileNotFoundError(
        f"{path} is not the folder of an encoder: it has no {artifact.JSON}."
        " python -m experiments.export_encoder makes one of a training run"
    )
  return artifact.read(path)


def save_encoder(
    path: str | os.PathLike,
    encoder: PretrainedEncoder,
    *,
    card: str = "",
    most: int | None = None,
) -> None:
  """Writes an encoder as a folder; see docs/formats.md for the format.

  Args:
    path: the folder, which must not exist or be empty.
    encoder: to write.
    card: its model card, Markdown.
    most: bytes that the folder may have.

  Raises:
    FileExistsError: there is something already.
    ValueError: params that are not the encoder's, or more bytes than `most`;
      nothing is left behind.
  """
  artifact.write(Path(path), encoder, card, most)
