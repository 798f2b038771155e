# %% [markdown]
# # A zoo of your own task
#
# A family of tasks is one Python file. Here we write one, plug it in, train a
# zoo of it, and see in its networks what they were trained to do.
#
# The task is an echo: *repeat the symbol that you read d steps ago*. The delay
# d is what differs between networks.

# %%
import os
import pathlib
import tempfile

import jax
import numpy as np

import weightspace
from weightspace import tasks
from weightspace.progress import Progress
from weightspace.report import style
from zoo_gen import shards
from zoo_gen.configs import formal_languages

# All that is made goes here; set the variable to keep it.
workdir = pathlib.Path(
    os.environ.get("WEIGHTSPACE_NOTEBOOKS") or tempfile.mkdtemp()
)

# %% [markdown]
# ## The file
#
# It has a frozen dataclass `Config` and a function `make`, which returns the
# functions of a `TaskFamily`. Whatever differs between networks is an array,
# the *task*: so thousands of networks with different tasks are one compiled
# program. All functions are for a single network.

# %%
ECHO = '''\
"""Echo: at every step, the symbol that was read `delay` steps ago."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace.keys import derive
from weightspace.tasks import Batch, Rollouts, TaskFamily, TaskSpec


@dataclass(frozen=True)
class Config:
  length: int = 16  # symbols of a sequence
  symbols: int = 3
  longest: int = 4  # delays are 0 to longest
  eval_sequences: int = 100


def make(config):
  def draw(key, count):
    # A zoo stores T + 1 tokens of a sequence; a network reads the first T.
    shape = (count, config.length + 1)
    return jax.random.randint(key, shape, 0, config.symbols).astype(jnp.int8)

  def encode(task, sequences):  # [K, T + 1] -> [T, K, symbols]
    read = sequences[:, :-1].T.astype(jnp.int32)
    return jax.nn.one_hot(read, config.symbols)

  def batch_of(task, sequences):
    read = sequences[:, :-1].T.astype(jnp.int32)
    time = jnp.arange(config.length)[:, None]
    targets = read[jnp.maximum(time - task[0], 0)[:, 0]]
    counts = jnp.broadcast_to(time >= task[0], targets.shape)
    return Batch(encode(task, sequences), targets, counts.astype(jnp.float32))

  def sample_batch(key, task, size):
    return batch_of(task, draw(key, size))

  def rollouts(key, task, rnn, weights, count):
    sequences = draw(key, count)
    logits = rnn.unroll(weights, encode(task, sequences))
    log_probs = jnp.swapaxes(jax.nn.log_softmax(logits), 0, 1)
    return Rollouts(sequences, log_probs.astype(jnp.float16))

  def performance(key, task, rnn, weights):
    batch = sample_batch(derive(key, "test"), task, config.eval_sequences)
    answers = jnp.argmax(rnn.unroll(weights, batch.inputs), axis=-1)
    right = jnp.where(answers == batch.targets, batch.mask, 0)
    return {"accuracy": jnp.sum(right) / jnp.sum(batch.mask)}

  return TaskFamily(
      spec=TaskSpec(
          inputs=config.symbols,
          outputs=config.symbols,
          length=config.length,
          kind="token",
          task_names=("delay",),
          metric_names=("accuracy",),
          symbols=tuple("abcdefghij"[: config.symbols]),
          classes=(0, config.longest),
      ),
      sample_task=lambda key: jax.random.randint(
          key, (1,), 0, config.longest + 1, jnp.int32
      ),
      sample_batch=sample_batch,
      rollouts=rollouts,
      encode=encode,
      mask=lambda sequences: jnp.ones(sequences[:, :-1].T.shape),
      performance=performance,
      novelty=lambda task: task[0].astype(jnp.float32),
      describe=lambda task: f"echo after {int(task[0])} steps",
  )
'''

# %% [markdown]
# ## Plug it in
#
# A plug-in is found by its file name. In your checkout, save the file as
# `weightspace/tasks/echo.py` and all launchers know it. In a package of your
# own, keep it in a folder, and add that folder to where `weightspace.tasks`
# is looked for; an `__init__.py` is a good place for that line.

# %%
folder = workdir / "tasks"
folder.mkdir(exist_ok=True)
(folder / "echo.py").write_text(ECHO)
tasks.__path__.append(str(folder))
print("families:", ", ".join(tasks.names()))

# %% [markdown]
# ## Train a zoo of it
#
# Any config will do as a start. Fields of the family's `Config` that are not
# given keep their defaults, and all of them are recorded in the zoo.

# %%
config = formal_languages.get_config("tiny").to_dict()
config.update(family="echo", task={}, networks=30, shard_size=30)
config["rnn"] = {"cell": "gru", "hidden": (16,)}
config["recipe"]["snapshot_steps"] = (0, 50, 300)
shards.generate(
    workdir / "echoes", shards.plan(config), progress=Progress.silent()
)
zoo = weightspace.zoo.open(workdir / "echoes")
last = zoo.columns["step"] == zoo.spec.snapshot_steps[-1]
delays = zoo.columns["task"][:, 0]
for delay in np.unique(delays):
  right = zoo.columns["accuracy"][last & (delays == delay)]
  print(f"delay {delay}: {len(right)} networks, {np.median(right):.0%} right")

# %% [markdown]
# From here on it is a zoo like any other: `python -m zoo_gen.audit` checks it,
# `python -m experiments.pretrain` trains encoders of it.
#
# ## What the networks learned
#
# How much does an answer depend on each symbol that was read before? The
# derivative of the last answer with respect to the inputs tells. Every row is
# a network, and what it was trained to do is plain to see.


# %%
def memory(weights, xs):
  """How strongly the last answer depends on each input, [T]."""
  slopes = jax.jacrev(lambda xs: zoo.rnn.unroll(weights, xs)[-1, 0])(xs)
  return jax.numpy.sqrt(jax.numpy.sum(slopes**2, axis=(0, 2, 3)))


family = tasks.make("echo", {})
rows = np.flatnonzero(last)
rows = rows[np.argsort(delays[rows], kind="stable")]
sequences = zoo.rollouts(rows[:1]).sequences[0, :8]
xs = family.encode(family.sample_task(jax.random.key(0)), sequences)
over_sequences = jax.vmap(memory, (None, 1))  # of one network
slopes = jax.jit(jax.vmap(over_sequences, (0, None)))(
    zoo.weights(rows), xs[:, :, None]
)
share = np.mean(slopes, axis=1)[:, ::-1]  # [networks, steps ago]
share = share / share.sum(axis=1, keepdims=True)
right = np.argmax(share, axis=1) == delays[rows]
print(f"{right.sum()} of {len(rows)} depend most on what they are to repeat")


@style.styled
def draw(share, delays):
  figure = style.new(4.2)
  axes = figure.subplots()
  steps = 9  # nothing happens before that
  image = axes.imshow(
      share[:, :steps], cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto",
      interpolation="nearest",
  )  # fmt: skip
  starts = np.flatnonzero(np.diff(delays, prepend=-1))
  for start in starts[1:]:
    axes.axhline(start - 0.5, color="white", linewidth=1.5)
  middles = (starts + np.append(starts[1:], len(delays)) - 1) / 2
  axes.set_yticks(middles, [f"delay {delays[s]}" for s in starts])
  axes.set_xticks(range(steps))
  axes.set(xlabel="read so many steps ago", title="What the answer depends on")
  axes.tick_params(length=0)
  figure.colorbar(image, label="share of the sensitivity", shrink=0.9)
  return figure


figure = draw(share, delays[rows])
figure.savefig(workdir / "your_own_task.png", dpi=150)
figure
