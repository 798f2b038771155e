"""How well the network does its task, in [0, 1]."""

from weightspace.properties import Property, _regression


def _target(columns, scope):
  del scope
  return columns["accuracy"][:, None].astype("float32")


PROPERTY = Property(
    kind="proportion",
    shape=lambda scope: (1,),
    target=_target,
    metrics=_regression.metrics,
    headline="r2",
)
