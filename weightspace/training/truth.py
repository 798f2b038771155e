"""The truth as a code: an upper bound of what emulation can gain from codes.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:truth

The emulator is given all that a zoo knows of a network, its properties: task,
accuracy, step and so on. No encoder can have that code, which is not told from
weights; so it is no plug-in of `weightspace.encoders`. It is the counterpart of
the constant code.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from weightspace import properties, tasks, zoo
from weightspace.encoders import Encoder, _modules
from weightspace.rnn import RNN

NAME = "truth"


def view(source: zoo.Zoo, config: Mapping[str, Any]) -> zoo.Zoo:
  """The zoo as the encoder of a config reads it.

  Args:
    source: the zoo.
    config: with "encoder" and its "name".

  Returns:
    The same zoo; where the encoder is the truth, one whose vectors are what is
    known of networks.
  """
  if config["encoder"]["name"] != NAME or isinstance(source, _Known):
    return source
  return _Known(source)


def make(rnn: RNN) -> Encoder:
  """The code of what is known, scaled to length 1; `rnn` is of a `view`."""
  return Encoder(
      init=lambda key: {},
      apply=lambda params, known, key=None: _modules.unit(rnn.flatten(known)),
      invariant=True,
  )


def facts(source: zoo.Zoo) -> np.ndarray:
  """All properties of all rows, [R, F] float32; classes are one-hot."""
  family = tasks.make(source.spec.family, source.spec.family_config)
  scope = properties.Scope(family.spec, tuple(source.spec.snapshot_steps))
  found = []
  for name in properties.names():
    property_ = properties.load(name)
    try:
      shape = property_.shape(scope)
    except ValueError:  # these networks do not have it
      continue
    target = property_.target(source.columns, scope)
    if property_.kind == "classification":
      target = np.eye(shape[-1])[target].reshape(len(target), -1)
    found.append(target)
  return np.nan_to_num(np.concatenate(found, axis=1)).astype(np.float32)


class _Known:
  """A zoo whose networks are vectors of what is known of them."""

  def __init__(self, source: zoo.Zoo):
    self._source, self._facts = source, facts(source)
    size = self._facts.shape[-1]
    self.rnns = tuple(
        rnn._replace(size=size, flatten=_same, unflatten=_same)
        for rnn in source.rnns
    )

  def __getattr__(self, name: str) -> Any:
    return getattr(self._source, name)

  def __len__(self) -> int:
    return len(self._source)

  def vectors(self, indices) -> np.ndarray:
    """What is known of rows, [n, F] float32."""
    return self._facts[np.asarray(indices)]


def _same(vector: jax.Array) -> jax.Array:
  return vector
