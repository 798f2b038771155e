"""Zoos of policies: `policies.py:ENVIRONMENT[,SIZE]`.

    python -m zoo_gen.generate --zoo=DIR \\
        --config=zoo_gen/configs/policies.py:cartpole,small

ENVIRONMENT is cartpole, pendulum, memory_chain or umbrella_chain. They need
gymnax: pip install 'weightspace[rl]'.

tiny   24 policies of 1 x 8, hardly trained: seconds.
small  400 policies of 1 x 32, or 200 that swing up a pendulum.
"""

from ml_collections import ConfigDict

from zoo_gen.configs import _zoo

parts = _zoo.parts
SIZES = ("tiny", "small")
# Steps of an episode, and of training
STEPS = {
    "cartpole": (100, 500),
    "pendulum": (100, 1500),
    "memory_chain": (14, 1000),
    "umbrella_chain": (14, 500),
}


def get_config(what: str = "") -> ConfigDict:
  """The config of an environment, of one of `SIZES`."""
  from weightspace import fields

  environment, size = (*what.split(",", 1), "")[:2]
  fields.check_choice("the environment", environment, sorted(STEPS))
  config = _zoo.get_config("policy", size or "small", SIZES)
  episode, steps = STEPS[environment]
  config.task.environment = environment
  config.task.steps = episode  # of an episode, at most
  config.task.noise = 0.1  # largest standard deviation, of observations
  config.task.delay = 2  # most steps that observations come late
  config.task.hide_velocities = 0.5  # share of networks that see none
  config.task.discount = 0.97  # discount factor
  config.task.entropy = 0.02  # reward per nat of -log p(action)
  config.task.eval_episodes = 64  # that scores are measured on
  config.rnn.hidden = (32,)
  config.recipe.snapshot_steps = tuple(
      int(steps * share) for share in (0, 0.1, 0.2, 0.5, 1)
  )
  config.networks = 400
  config.shard_size = 100
  config.rollouts = 32
  if environment == "pendulum":
    config.task.discount = 0.95
    config.task.entropy = 0.1
    config.recipe.batch = 64
    config.recipe.learning_rates = (0.003, 0.001, 0.0003)
    config.networks = 200

  if size == "tiny":
    _zoo.shrink(config)
    config.task.steps = min(episode, 20)
    config.task.eval_episodes = 16
    config.recipe.batch = 16
  return config
