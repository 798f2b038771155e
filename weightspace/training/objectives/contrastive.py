"""Contrastive training (NT-Xent): codes of one network agree, others differ.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/contrastive.py:dws

Each network of a batch has two views: its weights, with hidden units permuted
and negated at random, or two of its snapshots. Codes of the two, after a
projection head, must be nearer to each other than to those of all other
networks of the batch (Chen et al., "A simple framework for contrastive learning
of visual representations", 2020). The head is thrown away afterwards.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from weightspace import fields, symmetry
from weightspace.encoders import _modules
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.training import objectives
from weightspace.training.objectives import Objective, Scope

SYMMETRY, SNAPSHOTS, BOTH = "symmetry", "snapshots", "snapshots+symmetry"


@dataclass(frozen=True)
class Config(objectives.Config):
  """What is contrasted, and how.

  Attributes:
    positives: the two views of a network: "symmetry" permutes and negates the
      hidden units of one snapshot, "snapshots" takes two snapshots,
      "snapshots+symmetry" does both. An encoder that is invariant has the same
      code for weights that differ by symmetry; its two views then differ in
      what the encoder draws, if anything.
    temperature: cosines are divided by it.
    hidden: units of the hidden layer of the projection head.
    projection: size of its output; 0 compares codes themselves.
  """

  positives: str = SYMMETRY
  temperature: float = 0.1
  hidden: int = 128
  projection: int = 64

  def __post_init__(self):
    super().__post_init__()
    fields.check_choice(
        "positives", self.positives, (SYMMETRY, SNAPSHOTS, BOTH)
    )
    fields.check_numbers(self, "temperature", above=0)
    fields.check_integers(self, "hidden")
    fields.check_integers(self, "projection", least=0)


def make(config: Config, scope: Scope) -> Objective:
  """Two views of a network are classified among those of a batch.

  Raises:
    ValueError: snapshots of a zoo that has one of each network.
  """
  paired = config.positives != SYMMETRY
  if paired and len(scope.steps) < 2:
    raise UserError(
        f"positives={config.positives!r} needs two snapshots of each network,"
        f" but this zoo has one, after step {scope.steps[0]}: use"
        " positives='symmetry', or make a zoo with more snapshot_steps"
    )
  head = _modules.MLP((config.hidden, config.projection))
  augmented = config.positives != SNAPSHOTS

  def project(params, codes):
    if config.projection:
      codes = head.apply(params["projection"], codes)
    return _modules.unit(codes)

  def view(params, batch, key, noise):
    """Projections [N, D] of all shapes; without noise, encoders draw none."""
    if augmented:
      batch = _augment(scope, batch, derive(key, "symmetry"))
    codes = scope.encode(params, batch, key if noise else None)
    return project(params, jnp.concatenate([c for c in codes if c is not None]))

  def views(params, batch, key, noise):
    """Two projections [N, D] of each network, and net_id [N]."""
    first, second = derive(key, "first view"), derive(key, "second view")
    net_id = jnp.concatenate(
        [data.columns["net_id"] for data in batch if data is not None]
    )
    if paired:
      both = view(params, batch, first, noise)
      return both[::2], both[1::2], net_id[::2]
    return (
        view(params, batch, first, noise),
        view(params, batch, second, noise),
        net_id,
    )

  def contrast(params, batch, key, noise):
    one, other, net_id = views(params, batch, key, noise)
    pairs = (one, other), (other, one)
    # Each view in turn is classified
    results = [
        _classify(*pair, net_id, config.temperature, scope.mesh)
        for pair in pairs
    ]
    return jax.tree.map(lambda *both: sum(both) / 2, *results)

  def loss(params, batch, key):
    networks = config.batch // (2 if paired else 1)
    measured = contrast(params, batch, key, noise=True)
    means = {name: jnp.sum(each) / networks for name, each in measured.items()}
    return means.pop("loss"), means

  def measure(params, batch):
    # The same symmetries each time
    measured = contrast(params, batch, make_key(0), noise=False)
    repeats = 2 if paired else 1
    return {n: jnp.repeat(each, repeats) for n, each in measured.items()}

  def init(key):
    if not config.projection:
      return {}
    blank = jnp.zeros(scope.code, jnp.float32)
    return {"projection": head.init(derive(key, "projection"), blank)}

  return Objective(
      init=init,
      loss=loss,
      measure=measure,
      columns=objectives.columns_named("net_id"),
      snapshots=2 if paired else 1,
  )


def _augment(scope, batch, key):
  """The batch with hidden units permuted and negated, where it matters."""

  def of_shape(shape, data):
    rnn, encoder = scope.rnns[shape], scope.encoders[shape]
    if data is None or encoder.invariant or encoder.observe is not None:
      return data
    keys = scope.row_keys(key, shape, len(data.vectors))
    vectors = jax.vmap(
        lambda key, vector: rnn.flatten(
            symmetry.augment(key, rnn, rnn.unflatten(vector))
        )
    )(keys, data.vectors)
    return data._replace(vectors=vectors)

  return tuple(of_shape(*pair) for pair in enumerate(batch))


def _classify(one, other, net_id, temperature, mesh: Mesh | None):
  """Cross-entropy and accuracy of finding the other view of each network.

  Args:
    one: [N, D] of length 1, views to classify.
    other: [N, D], the others of the same networks.
    net_id: [N]; views of a network are no negatives of each other.
    temperature: that divides cosines.
    mesh: over which networks are spread; negatives are on all devices.

  Returns:
    {"loss", "top1"}, [N] each.
  """
  candidates = jnp.concatenate([one, other])
  owners = jnp.concatenate([net_id, net_id])
  if mesh is not None:
    axis = mesh.axis_names[0]
    candidates, owners = (
        jax.lax.all_gather(x, axis, tiled=True) for x in (candidates, owners)
    )
  own = net_id[:, None] == owners[None]
  negatives = jnp.where(own, -jnp.inf, one @ candidates.T / temperature)
  positive = jnp.sum(one * other, axis=-1) / temperature
  logits = jnp.concatenate([positive[:, None], negatives], axis=1)
  return {
      "loss": jax.nn.logsumexp(logits, axis=1) - positive,
      "top1": (positive > jnp.max(negatives, axis=1)).astype(jnp.float32),
  }
