"""What the configs of all zoos have in common."""

from ml_collections import ConfigDict

from weightspace.errors import UserError


def get_config(family: str, size: str, sizes: tuple[str, ...]) -> ConfigDict:
  """A zoo of the paper's: 1000 LSTMs of 2 x 32, nine snapshots each.

  Args:
    family: a module in weightspace.tasks; `task`, its Config, is still empty.
    size: the one asked for.
    sizes: those there are; ValueError for any other.
  """
  if size not in sizes:
    raise UserError(f"no size {size!r}; there are: {', '.join(sizes)}")
  config = ConfigDict()
  config.family = family  # a module in weightspace.tasks
  config.task = ConfigDict()  # fields of the family's Config
  config.rnn = ConfigDict()
  config.rnn.cell = "lstm"  # a module in weightspace.cells
  config.rnn.hidden = (32, 32)  # hidden units of each layer
  config.others = ()  # further shapes, such as 'gru:24'; shards take turns
  config.recipe = ConfigDict()  # zoo_gen.trainer.Recipe
  config.recipe.snapshot_steps = (
      0, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000,
  )  # fmt: skip
  config.recipe.batch = 32  # sequences a step
  config.recipe.learning_rates = (0.01, 0.003, 0.0003)  # start, middle, end
  config.recipe.weight_decays = (1e-4,)  # each network draws one
  config.recipe.init_scale = 1.0  # on torch's default initial weights
  config.recipe.matmul_precision = "float32"  # or tensorfloat32, bfloat16
  config.networks = 1000  # networks of the zoo, N
  config.shard_size = 125  # networks in a shard
  config.rollouts = 100  # sequences kept of each snapshot, K
  config.seed = 0  # of all that is random in the zoo
  return config


def parts(config: ConfigDict) -> dict[str, type]:
  """The dataclasses of its parts, which say what the fields mean."""
  from weightspace import plugins, tasks
  from zoo_gen import trainer

  return {
      "task": plugins.load(tasks.__name__, config.family).Config,
      "recipe": trainer.Recipe,
  }


def shrink(config: ConfigDict) -> None:
  """Makes a config one of seconds, for trying things out."""
  config.rnn.hidden = (8,)
  config.recipe.snapshot_steps = (0, 20, 60)
  config.recipe.learning_rates = (0.05, 0.03, 0.001)
  config.networks = 24
  config.shard_size = 16
  config.rollouts = 8
