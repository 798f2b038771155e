# %% [markdown]
# # Look at a zoo
#
# A zoo is a folder of trained recurrent networks: their weights at several
# steps of training, what they were trained to do, how well they do it, and
# what they were seen to do. Here we make a small one, of 32 LSTMs on formal
# languages, and look at what is in it.

# %%
import os
import pathlib
import re
import tempfile

import numpy as np

import weightspace
from weightspace.evaluation import codes
from weightspace.progress import Progress
from weightspace.report import style
from zoo_gen import shards
from zoo_gen.configs import formal_languages

# All that is made goes here; set the variable to keep it.
workdir = pathlib.Path(
    os.environ.get("WEIGHTSPACE_NOTEBOOKS") or tempfile.mkdtemp()
)

# %% [markdown]
# ## Make it
#
# On the command line this is `python -m zoo_gen.generate`. Each network draws
# a language of its own, aⁿ bⁿ⁺ᵏ cⁿ⁺ˡ dⁿ⁺ᵐ, and learns to write its strings. A
# zoo that is finished already is left as it is.

# %%
config = formal_languages.get_config("tiny")
config.task.update(length=18, max_n=4, shift_min=-1, shift_max=1)
config.rnn.hidden = (12,)
config.recipe.snapshot_steps = (0, 50, 150, 400)
config.networks = 32
shards.generate(
    workdir / "zoo",
    shards.plan(config.to_dict()),
    progress=Progress.silent(),  # Progress() shows how far it is
)
zoo = weightspace.zoo.open(workdir / "zoo")
print(f"{len(zoo)} rows: {zoo.spec.num_networks} networks, each after")
print(f"{zoo.spec.snapshot_steps} steps; an LSTM has {zoo.rnn.size} weights")

# %% [markdown]
# ## Columns
#
# A row is one network at one step. What is known about it are columns, NumPy
# arrays that are read when you ask for them.

# %%
for name, column in zoo.columns.items():
  print(f"{name:16} {column.dtype!s:8} {list(column.shape)}")

# %% [markdown]
# ## What a network does
#
# Beside the weights, a zoo keeps *rollouts*: here, strings that the network
# wrote, and the probabilities it gave to each symbol. This is the best network
# of the zoo, growing up.

# %%
family = zoo.family
step, accuracy = zoo.columns["step"], zoo.columns["accuracy"]
best = zoo.columns["net_id"][np.argmax(accuracy)]
rows = np.flatnonzero(zoo.columns["net_id"] == best)
language = family.describe(zoo.columns["task"][rows[0]])
print(f"network {best}, trained on {language}")
for row, strings in zip(rows, zoo.rollouts(rows).sequences):
  print(f"\nafter {step[row]} steps, {accuracy[row]:.0%} of strings are right")
  for string in strings[:3]:
    text = " ".join(family.spec.symbols[token] for token in string)
    print("  ", re.sub("( EOS)+$", " EOS", text))  # padding

# %% [markdown]
# ## All of them
#
# On the left, how the networks learned. On the right, their weights, as points
# in the plane of the two main directions: training moves them, but which way
# depends on where each began, and on how its hidden units happen to be
# numbered. What a network *does* cannot be read off such a picture. Learning
# a space where it can is what this project is about.


# %%
@style.styled
def draw(zoo, step, accuracy):
  steps = np.array(zoo.spec.snapshot_steps)
  curves = accuracy.reshape(-1, len(steps))  # a network's rows are neighbours
  figure = style.new(3.6)
  left, right = figure.subplots(1, 2)
  left.plot(steps, curves.T, color=style.FAINT, linewidth=0.9)
  left.plot(steps, np.median(curves, axis=0), color=style.BLUE, marker="o")
  left.annotate(
      "median", (steps[-1], np.median(curves[:, -1])), xytext=(-8, -16),
      textcoords="offset points", ha="right", color=style.BLUE,
  )  # fmt: skip
  left.set(title="Every network learns", xlabel="training step", ylim=(0, 1.04))
  left.set(ylabel="strings that are right")
  left.yaxis.set_major_formatter("{x:.0%}")
  xy, explained = codes.pca(zoo.vectors(np.arange(len(zoo))))
  for network in xy.reshape(-1, len(steps), 2):
    right.plot(*network.T, color=style.FAINT, linewidth=0.7, zorder=0)
  for index, (value, marker) in enumerate(zip(steps, "o^sD")):
    right.scatter(
        *xy[step == value].T, s=22, marker=marker, edgecolor="white",
        linewidth=0.5, label=str(value), color=COLOURS[index],
    )  # fmt: skip
  right.legend(title="step", loc="best")
  right.set(title="Their weights", xticks=[], yticks=[])
  right.set_xlabel(f"first component ({explained[0]:.0%} of variance)")
  right.set_ylabel(f"second component ({explained[1]:.0%})")
  return figure


COLOURS = (style.GREY, "#56b4e9", style.BLUE, style.ORANGE)
figure = draw(zoo, step, accuracy)
figure.savefig(workdir / "look_at_a_zoo.png", dpi=150)
figure
