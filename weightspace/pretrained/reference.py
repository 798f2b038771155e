"""A table of a zoo's networks and their codes, for nearest neighbours."""

from typing import Any, NamedTuple

import numpy as np

from weightspace.rnn import RNNSpec


class Neighbour(NamedTuple):
  """A network of the zoo, as it was after some step of its training."""

  distance: float  # 1 - cosine of the angle between the codes, in [0, 2]
  net_id: int
  step: int
  shape: RNNSpec
  task: tuple[float, ...]
  description: str  # of the task
  accuracy: float | None  # None in a zoo where none is known


class Reference(NamedTuple):
  """n rows of a zoo, their tasks and their codes."""

  codes: np.ndarray  # [n, Z] float32, of length 1
  net_id: np.ndarray  # [n] int32
  step: np.ndarray  # [n] int32
  accuracy: np.ndarray | None  # [n] float32
  shape: np.ndarray  # [n] int32, which of the zoo's shapes
  task: np.ndarray  # [n] int32, which of `tasks`
  tasks: np.ndarray  # [U, D] float32, the distinct tasks of these rows
  descriptions: tuple[str, ...]  # U

  def nearest(
      self, code: Any, shapes: tuple[RNNSpec, ...], count: int
  ) -> tuple[Neighbour, ...]:
    """The rows whose codes are nearest, nearest first.

    Args:
      code: [Z].
      shapes: of the zoo.
      count: how many, at most.
    """
    distances = 1.0 - self.codes @ np.asarray(code)
    return tuple(
        Neighbour(
            distance=max(0.0, float(distances[row])),
            net_id=int(self.net_id[row]),
            step=int(self.step[row]),
            shape=shapes[self.shape[row]],
            task=tuple(map(float, self.tasks[self.task[row]])),
            description=self.descriptions[self.task[row]],
            accuracy=(
                None if self.accuracy is None else float(self.accuracy[row])
            ),
        )
        for row in np.argsort(distances, kind="stable")[:count]
    )

  def nearest_distances(self) -> np.ndarray:
    """Each row's distance to the nearest *other* network, sorted, [n].

    Rows without another network are left out.
    """
    distances = 1.0 - self.codes @ self.codes.T
    distances[self.net_id[:, None] == self.net_id[None]] = np.inf
    nearest = distances.min(axis=1, initial=np.inf)
    return np.sort(nearest[np.isfinite(nearest)])
