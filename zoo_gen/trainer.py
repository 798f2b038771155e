"""Trains many small RNNs at once. Pure functions; no files, no flags.

Networks are independent: each has its own task, weight decay and keys, all
derived from (seed, network id), so a network's history does not depend on
which others are trained beside it. They are spread over the devices of a mesh;
each device trains its share in groups, one after the other, without
communication. On CPU a group is one network, so that its training step stays in
the core's own cache. On an accelerator a group fills the memory: see
`zoo_gen.programs`.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from weightspace import fields, precision
from weightspace.errors import UserError
from weightspace.keys import derive, make_key
from weightspace.parallel import replicated
from weightspace.rnn import RNN
from weightspace.tasks import TaskFamily


@dataclass(frozen=True)
class Recipe:
  """How each network is trained; the defaults are the paper's (section 5.1).

  Attributes:
    snapshot_steps: after how many steps a network is looked at; the last one
      ends training.
    batch: sequences a step.
    learning_rates: at the start, half-way and at the end of training; linear
      in between.
    weight_decays: AdamW's; each network draws one of them.
    init_scale: factor on torch's default initial weights.
    matmul_precision: of the matrix products of training, see
      `weightspace.precision`. Weights are float32, and so is all that is
      measured of a network.
  """

  snapshot_steps: tuple[int, ...] = (
      0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000,
  )  # fmt: skip
  batch: int = 32
  learning_rates: tuple[float, float, float] = (0.01, 0.003, 0.0003)
  weight_decays: tuple[float, ...] = (1e-4,)
  init_scale: float = 1.0
  matmul_precision: str = "float32"

  def __post_init__(self):
    steps = tuple(self.snapshot_steps)
    for step in steps:
      if isinstance(step, bool) or int(step) != step:
        raise UserError(f"snapshot_steps must be integers, got {steps}")
    steps = tuple(map(int, steps))
    object.__setattr__(self, "snapshot_steps", steps)
    for name in ("learning_rates", "weight_decays"):
      object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
    if not steps or steps[0] < 0 or sorted(set(steps)) != list(steps):
      raise UserError(
          f"snapshot_steps must be increasing and not negative, got {steps}"
      )
    if len(self.learning_rates) != 3 or not self.weight_decays:
      raise UserError(
          "learning_rates needs three values (start, half-way, end) and"
          f" weight_decays at least one, got {self.learning_rates} and"
          f" {self.weight_decays}"
      )
    for name in ("learning_rates", "weight_decays"):
      for value in getattr(self, name):
        fields.check_number(value, name, least=0)
    fields.check_integers(self, "batch")
    fields.check_numbers(self, "init_scale", above=0)
    precision.check(self.matmul_precision)

  @property
  def steps(self) -> int:
    """Steps of training in all."""
    return self.snapshot_steps[-1]


class State(NamedTuple):
  """N networks in training. Leading axis: networks."""

  vectors: jax.Array  # [N, P] float32, flattened weights
  opt_state: Any  # optax's, over [N, P]


class Trainer(NamedTuple):
  """Jitted functions; `net_ids` `[N]` int32 says which networks these are.

  Attributes:
    round_up: (N) -> the next N that fits the mesh and the group.
    init: (net_ids) -> `State`.
    segment: (state, net_ids, start, stop) -> `State`: trains from step `start`
      up to `stop`; one compilation serves all. Donates `state`.
    snapshot: (state, net_ids, step) -> dict of arrays `[N, ...]`: what the zoo
      stores of these networks at this step.
    mesh: that networks are spread over.
    group: networks that a device trains at a time; None: all it is given.
  """

  round_up: Callable[[int], int]
  init: Callable
  segment: Callable
  snapshot: Callable
  mesh: Mesh
  group: int | None


def make_traits(
    recipe: Recipe, family: TaskFamily, *, seed: int
) -> Callable:
  """What tells a network from others: (net_id) -> (task [D], weight decay)."""

  def traits(net_id):
    key = derive(make_key(seed), "traits", net_id)
    choices = jnp.asarray(recipe.weight_decays)
    decay = jax.random.choice(derive(key, "weight decay"), choices)
    return family.sample_task(derive(key, "task")), decay

  return traits


def make_row(
    recipe: Recipe, family: TaskFamily, rnn: RNN, *, seed: int, rollouts: int
) -> Callable:
  """A row of a zoo: what it keeps of one network at one step.

  Args:
    recipe: how it is trained.
    family: what on.
    rnn: its shape.
    seed: of the zoo.
    rollouts: K, sequences to keep.

  Returns:
    (vector [P], net_id, step) -> dict of arrays by name. Its matrix products
    are float32's, so that any machine computes the same.
  """
  traits = make_traits(recipe, family, seed=seed)

  def row(vector, net_id, step):
    task, decay = traits(net_id)
    weights = rnn.unflatten(vector)
    key = derive(make_key(seed), "snapshot", net_id, step)
    with precision.products("float32"):
      seen = family.rollouts(
          derive(key, "rollouts"), task, rnn, weights, rollouts
      )
      measured = family.performance(
          derive(key, "performance"), task, rnn, weights
      )
    return {
        "weights": vector,
        "sequences": seen.sequences,
        "log_probs": seen.log_probs,
        "net_id": net_id,
        "task": task,
        "weight_decay": decay,
        "finite": jnp.all(jnp.isfinite(vector)),
        **measured,
    }

  return row


def make_trainer(
    recipe: Recipe,
    family: TaskFamily,
    rnn: RNN,
    *,
    seed: int,
    rollouts: int,
    mesh: Mesh,
    group: int | None = None,
) -> Trainer:
  """A trainer of networks of one shape on one family.

  Args:
    recipe: how to train.
    family: what on.
    rnn: the shape of the networks.
    seed: of the zoo; with a network's id it determines everything about it.
    rollouts: K, rollouts kept of each snapshot.
    mesh: 1-d; networks are spread over it.
    group: networks that a device trains at a time, as one vmap. By default one
      on CPU and a device's whole share on an accelerator.
  """
  if group is None and mesh.devices.flat[0].platform == "cpu":
    group = 1
  root = make_key(seed)
  traits = make_traits(recipe, family, seed=seed)
  shared_data = jax.device_put(family.data, replicated(mesh))
  optimizer, loss = _make_optimizer(recipe), _make_loss(rnn)

  def init_one(net_id, data):
    del data  # of what is to come
    vector = rnn.flatten(rnn.init(derive(root, "weights", net_id)))
    vector = vector * recipe.init_scale
    return State(vector, optimizer(0.0).init(vector))

  def segment_one(state, net_id, start, stop, data):
    batch_of = family.bound(data).batch
    task, decay = traits(net_id)

    def step(i, state):
      key = derive(root, "batch", net_id, i)
      # Differentiated leaf by leaf: the transpose of unflattening the vector
      # would pad every leaf to the full length and add them up.
      weights = rnn.unflatten(state.vectors)
      with precision.products(recipe.matmul_precision):
        batch = batch_of(key, task, rnn, weights, recipe.batch)
        grads = jax.grad(loss)(weights, batch)
      with jax.numpy_dtype_promotion("standard"):  # optax mixes int and float
        updates, opt_state = optimizer(decay).update(
            rnn.flatten(grads), state.opt_state, state.vectors
        )
      return State(optax.apply_updates(state.vectors, updates), opt_state)

    return jax.lax.fori_loop(start, stop, step, state)

  def snapshot_one(state, net_id, step, data):
    row = make_row(
        recipe, family.bound(data), rnn, seed=seed, rollouts=rollouts
    )
    return row(state.vectors, net_id, step)

  spread = functools.partial(_over_networks, shared_data, mesh, group)
  unit = mesh.size * (group or 1)
  return Trainer(
      round_up=lambda count: math.ceil(count / unit) * unit,
      init=spread(init_one, 0),
      segment=spread(segment_one, 2, donate=(0,)),
      snapshot=spread(snapshot_one, 1),
      mesh=mesh,
      group=group,
  )


def _make_optimizer(recipe):
  """(weight decay) -> AdamW with the recipe's schedule."""
  half = max(recipe.steps // 2, 1)
  start, middle, end = recipe.learning_rates
  schedule = optax.join_schedules(
      [
          optax.linear_schedule(start, middle, half),
          optax.linear_schedule(middle, end, max(recipe.steps - half, 1)),
      ],
      [half],
  )
  return lambda weight_decay: optax.adamw(schedule, weight_decay=weight_decay)


def _make_loss(rnn):
  """(weights, batch) -> the mean cross entropy of what counts.

  With advantages its gradient is that of policy gradients.
  """

  def loss(weights, batch):
    log_probs = jax.nn.log_softmax(rnn.unroll(weights, batch.inputs))
    # One-hot, not a gather, whose transpose would be a scatter: slow on CPU
    right = jax.nn.one_hot(
        batch.targets, log_probs.shape[-1], dtype=jnp.float32
    )
    losses = -jnp.sum(right * log_probs, axis=-1)
    if batch.advantages is not None:
      losses = losses * batch.advantages
    return jnp.sum(losses * batch.mask) / jnp.sum(batch.mask)

  return loss


def _over_networks(data, mesh, group, f, num_shared, donate=()):
  """`f` of one network -> of N, spread over a mesh and in groups.

  Args:
    data: last argument of `f`, the same for all.
    mesh: that networks are spread over.
    group: networks in a vmap; None: all that a device has.
    f: (own arguments, shared arguments, data) -> a pytree.
    num_shared: how many arguments all networks share.
    donate: positions of arguments whose memory may be reused.
  """
  axis = PartitionSpec(mesh.axis_names[0])

  def on_device(data, *args):
    own = args[: len(args) - num_shared]
    shared = (*args[len(args) - num_shared :], data)
    count = len(own[-1])
    size = min(group or count, count)
    groups = jax.tree.map(
        lambda a: a.reshape(count // size, size, *a.shape[1:]), own
    )
    out = jax.lax.map(
        lambda own: jax.vmap(lambda *one: f(*one, *shared))(*own), groups
    )
    return jax.tree.map(lambda a: a.reshape(count, *a.shape[2:]), out)

  def on_mesh(data, *args):
    specs = (axis,) * (len(args) - num_shared)
    specs += (PartitionSpec(),) * num_shared
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), *specs),
        out_specs=axis,
        check_vma=False,
    )(data, *args)

  jitted = jax.jit(on_mesh, donate_argnums=[1 + i for i in donate])
  return functools.partial(jitted, data)  # `programs` relies on it
