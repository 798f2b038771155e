"""How well the network does its task, in [0, 1]."""

from weightspace.properties import Property, _regression

PROPERTY = Property(
    kind="regression",
    shape=lambda spec: (1,),
    target=lambda columns, spec: columns["accuracy"][:, None].astype("float32"),
    metrics=_regression.metrics,
    headline="r2",
)
