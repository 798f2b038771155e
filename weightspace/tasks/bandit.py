"""Bandits: networks that learn while they live (RL²: Duan et al. 2016).

A network pulls one of several arms at each step and reads which arm it pulled
last and whether that paid. Each life has a bandit of its own, which the network
has never seen; its weights hold how to learn which arm is best, and what to
expect before. That is the task: the distribution of bandits that it was trained
on. Some networks do not read what paid, and are what learning is compared with.

Arm i pays with the probability sigmoid(level + spread z_i + lift_i), with z_i
standard normal. The lift of all arms but one is 0.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import fields
from weightspace.errors import UserError
from weightspace.keys import derive
from weightspace.tasks import TaskFamily, TaskSpec
from weightspace.tasks import _reinforcement as reinforcement

RANGES = ("level", "spread", "lift")
METRICS = (
    "accuracy", "accuracy_elsewhere", "reward", "reward_elsewhere", "regret",
    "regret_early", "regret_late",
)  # fmt: skip


@dataclass(frozen=True)
class Config:
  """Parameters that all networks of a zoo share.

  Attributes:
    arms: of each bandit.
    pulls: of a life, steps.
    level: each network's is uniform between these, in logits.
    spread: likewise, of the arms of a bandit.
    lift: likewise, of one arm, in logits.
    blind: share of networks that do not read what paid.
    discount: discount factor of training.
    entropy: entropy coefficient of training, reward per nat of -log p(action).
    eval_lives: of each, bandits of the own and of other distributions.
  """

  arms: int = 3
  pulls: int = 40
  level: tuple[float, float] = (-1.5, 1.0)
  spread: tuple[float, float] = (1.0, 3.0)
  lift: tuple[float, float] = (0.0, 1.5)
  blind: float = 0.2
  discount: float = 0.9
  entropy: float = 0.1
  eval_lives: int = 128

  def __post_init__(self):
    fields.check_integers(self, "pulls", "eval_lives")
    fields.check_integers(self, "arms", least=2)
    for name in RANGES:
      bounds = getattr(self, name)
      if np.ndim(bounds) != 1 or len(bounds) != 2:
        raise UserError(f"{name} must be two numbers, got {bounds!r}")
      for bound in bounds:
        fields.check_number(bound, name)
      if bounds[0] >= bounds[1]:
        raise UserError(f"{name} must increase, got {tuple(bounds)}")
    fields.check_numbers(self, "blind", "discount", least=0, most=1)
    fields.check_numbers(self, "entropy", least=0)
    fields.check_number(self.spread[0], "spread", least=0)


def make(config: Config) -> TaskFamily:
  """The family of bandits of that many arms."""
  bounds = [getattr(config, name) for name in RANGES]
  low, high = np.array(bounds, np.float32).T
  lifts = [f"lift_{arm + 1}" for arm in range(config.arms)]

  def sample_task(key):
    uniform = jax.random.uniform(derive(key, "numbers"), (3,), jnp.float32)
    level, spread, lift = low + (high - low) * uniform
    better = jax.random.randint(
        derive(key, "better"), (), 0, config.arms, jnp.int32
    )
    reads = jax.random.bernoulli(
        derive(key, "reads"), jnp.float32(1 - config.blind)
    )
    lifted = jax.nn.one_hot(better, config.arms, dtype=jnp.float32)
    return jnp.stack([
        level, spread, *(lift * lifted), reads.astype(jnp.float32)
    ])

  def novelty(task):
    lift = jnp.max(task[2:-1])
    return reinforcement.novelty(jnp.stack([*task[:2], lift]), low, high)

  def measure(own, other):
    regret, share = _regret(own)
    _, share_elsewhere = _regret(other)
    quarter = -(-config.pulls // 4)
    return {
        "accuracy": share,
        "accuracy_elsewhere": share_elsewhere,
        "reward": jnp.mean(own.rewards),
        "reward_elsewhere": jnp.mean(other.rewards),
        "regret": jnp.mean(regret),
        "regret_early": jnp.mean(regret[:quarter]),
        "regret_late": jnp.mean(regret[-quarter:]),
    }

  return reinforcement.make(
      _world(config.arms),
      steps=config.pulls,
      discount=config.discount,
      entropy=config.entropy,
      episodes=config.eval_lives,
      spec=TaskSpec(
          inputs=config.arms + 1,
          outputs=config.arms,
          length=config.pulls,
          kind="real",
          task_names=("level", "spread", *lifts, "reads_rewards"),
          metric_names=METRICS,
      ),
      sample_task=sample_task,
      measure=measure,
      rewards=_above,
      # Who does not read what paid does not elsewhere
      elsewhere=lambda task, tasks: tasks.at[:, -1].set(task[-1]),
      novelty=novelty,
      describe=describe,
  )


def _world(arms):
  """A `World`; its state is what each arm pays, and what is read next."""

  def reset(key, task):
    level, spread, lifts = task[0], task[1], task[2:-1]
    normal = jax.random.normal(key, (arms,), jnp.float32)
    pays = jax.nn.sigmoid(level + spread * normal + lifts)
    return pays, jnp.zeros(arms + 1, jnp.float32)

  def observe(task, state, noise):
    del noise
    _, last = state
    return last.at[-1].multiply(task[-1])

  def step(key, task, state, action):
    del task
    pays, _ = state
    pulled = jax.nn.one_hot(action, arms, dtype=jnp.float32)
    # Not indexed, which is slow on CPU
    chance = jnp.sum(pays * pulled)
    reward = jax.random.bernoulli(key, chance).astype(jnp.float32)
    last = jnp.concatenate([pulled, 2 * reward[None] - 1])
    return (pays, last), reward, jnp.zeros((), bool)

  return reinforcement.World(reset, observe, step)


def _pulls(lives):
  """What the arms pay on average, [1, B, arms]; and each pull, [T, B]."""
  pays = lives.states[0][None]
  pulled = jax.nn.one_hot(lives.actions, pays.shape[-1], dtype=jnp.float32)
  return pays, jnp.sum(pulled * pays, axis=-1)


def _above(lives):
  """What each pull pays on average, and more than any arm does, [T, B].

  Its gradient is on average that of the rewards, and depends less on luck and
  on the bandit.
  """
  pays, pulled = _pulls(lives)
  return pulled - jnp.mean(pays, axis=-1)


def _regret(lives):
  """What better pulls would have paid more, on average.

  Returns:
    [T, B], for each pull; and the share of the way from the worst arm to the
    best that all pulls took, [].
  """
  pays, pulled = _pulls(lives)
  best, worst = jnp.max(pays, axis=-1), jnp.min(pays, axis=-1)
  way = jnp.maximum(jnp.mean(best - worst), 1e-6)  # arms may all pay 1
  return best - pulled, 1 - jnp.mean(best - pulled) / way


def describe(task: np.ndarray) -> str:
  """Describes a task: "level -0.50, spread 1.00, lift 0.30 of arm 2"."""
  level, spread, *lifts, reads = map(float, task)
  return (
      f"level {level:.2f}, spread {spread:.2f}, lift {max(lifts):.2f} of arm"
      f" {np.argmax(lifts) + 1}" + ("" if reads else ", blind to rewards")
  )
