# %% [markdown]
# # Write an encoder
#
# An encoder turns the weights of one network into a short code. It is one
# Python file, and everything else (training by emulation, heads, reports)
# takes it by its name. Here we write one, check what it claims, and train it.

# %%
import os
import pathlib
import tempfile

import jax
import numpy as np

import weightspace
from experiments.configs import emulation
from weightspace import encoders, symmetry
from weightspace.evaluation import codes
from weightspace.progress import Progress
from weightspace.report import style
from weightspace.training.pretrain import pretrain
from zoo_gen import shards
from zoo_gen.configs import formal_languages

# All that is made goes here; set the variable to keep it.
workdir = pathlib.Path(
    os.environ.get("WEIGHTSPACE_NOTEBOOKS") or tempfile.mkdtemp()
)
quiet = Progress.silent()

# %% [markdown]
# ## The idea
#
# Hidden units have no order, and in an LSTM not even a sign: a code should not
# change when they are renumbered or negated. The singular values of a matrix
# do not. We need no decomposition to know something of them: with G = W Wᵀ,
#
# - tr G is the sum of their squares: how *strong* the map is,
# - (tr G)² / tr G² counts how many of them matter: its *dimension*.
#
# Two numbers for each gate of each matrix, and a linear map of all of them.

# %%
SPECTRA = '''\
"""Strength and dimension of each gate's matrices, read by a linear map."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder


@dataclass(frozen=True)
class Config:
  code: int = 8  # numbers in a code


def features(weights):
  """[2 x matrices] float32."""
  matrices = [weights.readout.w]
  for layer in weights.layers:
    matrices += [*layer.wx, *layer.wh]  # a matrix for each gate
  grams = [w @ w.T for w in matrices]
  strength = jnp.stack([jnp.trace(g) for g in grams]) + 1e-6
  squares = jnp.stack([jnp.sum(g**2) for g in grams]) + 1e-12
  return jnp.log(jnp.concatenate([strength, strength**2 / squares]))


def make(config, rnn, inputs):
  """An encoder; `rnn` is the shape of the networks, `inputs` what they read."""

  def init(key):
    size = features(rnn.unflatten(jnp.zeros(rnn.size))).size
    linear = jax.random.normal(key, (config.code, size)) / size**0.5
    return {"linear": linear, "bias": jnp.zeros(config.code)}

  def apply(params, weights, key=None):  # a key, to draw from in training
    code = params["linear"] @ features(weights) + params["bias"]
    return code / jnp.sqrt(jnp.sum(code**2) + 1e-12)  # codes have length 1

  return Encoder(init, apply, invariant=True)
'''

# %% [markdown]
# In your checkout, save it as `weightspace/encoders/spectra.py`. A package of
# your own adds its folder to where `weightspace.encoders` is looked for.

# %%
folder = workdir / "encoders"
folder.mkdir(exist_ok=True)
(folder / "spectra.py").write_text(SPECTRA)
encoders.__path__.append(str(folder))
print("encoders:", ", ".join(encoders.names()))

# %% [markdown]
# ## Is it invariant?
#
# It says so (`invariant=True`), and so training will not augment the weights.
# `symmetry.augment` renumbers and negates hidden units at random: weights
# change, outputs do not, and the code must not either. The zoo is the one of
# *Look at a zoo*, made here where it is missing.

# %%
config = formal_languages.get_config("tiny")
config.task.update(length=18, max_n=4, shift_min=-1, shift_max=1)
config.rnn.hidden = (12,)
config.recipe.snapshot_steps = (0, 50, 150, 400)
config.networks = 32
shards.generate(workdir / "zoo", shards.plan(config.to_dict()), progress=quiet)
zoo = weightspace.zoo.open(workdir / "zoo")

encoder = encoders.make("spectra", {}, zoo.rnn, encoders.Inputs("token"))
params = encoder.init(jax.random.key(0))
weights = jax.tree.map(lambda leaf: leaf[0], zoo.weights([3]))
augmented = symmetry.augment(jax.random.key(1), zoo.rnn, weights)
for what, f in (
    ("weights", zoo.rnn.flatten),
    ("code", lambda w: encoder.apply(params, w)),
):
  change = np.abs(f(augmented) - f(weights)).max()
  print(f"{what:8} change by up to {change:.1e}")

# %% [markdown]
# ## Train it
#
# By emulation: an emulator that is given the code must predict the network's
# outputs. The constant encoder has the same code for all networks. It shows the
# loss without any knowledge of the network.

# %%
runs = {}
for name in ("constant", "spectra"):
  config = emulation.get_config(f"{name},tiny")
  config.encoder.code = 8
  config.emulation.update(steps=100, validate_every=20)
  config.optimizer.learning_rate = 1e-2
  runs[name] = pretrain(
      zoo, config.to_dict(), workdir / name, progress=quiet
  )
losses = {
    name: [
        (line["step"], line["validation/loss"])
        for line in run.history
        if "validation/loss" in line
    ]
    for name, run in runs.items()
}
for name, curve in losses.items():
  best = min(loss for _, loss in curve)
  print(f"{name:8} validation loss {best:.3f}")


# %%
@style.styled
def draw(losses, xy, explained, accuracy):
  figure = style.new(3.6)
  left, right = figure.subplots(1, 2)
  for name, colour, line, marker in (
      ("constant", style.GREY, (0, (4, 2)), "D"),
      ("spectra", style.BLUE, "-", "o"),
  ):
    steps, values = zip(*losses[name])
    left.plot(
        steps, values, color=colour, linestyle=line, marker=marker, label=name
    )
  left.legend()
  left.set(title="Validation loss", xlabel="step of emulation")
  left.set(ylabel="total variation", ylim=(0, None))
  points = right.scatter(
      *xy.T, c=accuracy, cmap=style.SEQUENTIAL, s=20, edgecolor="white",
      linewidth=0.4,
  )  # fmt: skip
  figure.colorbar(points, format="{x:.0%}")
  right.set(title="Codes of trained networks, by accuracy")
  right.set_xlabel(f"first component ({explained[0]:.0%} of variance)")
  right.set_ylabel(f"second component ({explained[1]:.0%})")
  right.set(xticks=[], yticks=[])
  return figure


trained = zoo.columns["step"] > 0  # untrained ones are far from all others
xy, explained = codes.pca(codes.of_zoo(zoo, runs["spectra"])[trained])
figure = draw(losses, xy, explained, zoo.columns["accuracy"][trained])
figure.savefig(workdir / "your_own_encoder.png", dpi=150)
figure

# %% [markdown]
# From here, `python -m experiments.predict` tells what can be predicted from
# its codes, and `weightspace.testing` holds it to the contract.
