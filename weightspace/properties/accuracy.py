"""How well the network does its task, in [0, 1]."""

from weightspace.properties import Property, _regression


def _target(columns, scope):
  del scope
  accuracy = columns["accuracy"]
  wrong = (accuracy < 0) | (accuracy > 1)  # NaN, of a diverged one, is neither
  if wrong.any():
    raise ValueError(
        f"accuracy must be a share between 0 and 1, got {accuracy[wrong][0]}"
        f" and {wrong.sum() - 1} more that are not"
    )
  return accuracy[:, None].astype("float32")


PROPERTY = Property(
    kind="proportion",
    shape=lambda scope: (1,),
    target=_target,
    metrics=_regression.metrics,
    headline="r2",
)
