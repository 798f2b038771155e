# %% [markdown]
# # Your networks
#
# From networks that PyTorch trained to something that one did not know of them.
# Here these are 24 LSTMs that repeat bits after a delay. We tell weightspace
# neither the delay nor the task: it sees weights, and what the networks answer.
# Then we predict the delay from their codes.

# %%
import os
import pathlib
import tempfile

import numpy as np
import torch

import weightspace
from experiments.configs import emulation
from weightspace.evaluation import codes
from weightspace.progress import Progress
from weightspace.report import style
from weightspace.training.pretrain import pretrain

# All that is made goes here; set the variable to keep it.
workdir = pathlib.Path(
    os.environ.get("WEIGHTSPACE_NOTEBOOKS") or tempfile.mkdtemp()
)
quiet = Progress.silent()
torch.set_num_threads(1)  # the networks are too small for more

# %% [markdown]
# ## The networks
#
# Any model will do that consists of a recurrent module, a linear readout and
# perhaps an embedding. Sizes may differ.


# %%
class Repeater(torch.nn.Module):
  """Reads bits, and answers with logits of the bit of some steps ago."""

  def __init__(self, units):
    super().__init__()
    self.embedding = torch.nn.Embedding(2, 4)
    self.lstm = torch.nn.LSTM(4, units, batch_first=True)
    self.readout = torch.nn.Linear(units, 2)

  def forward(self, bits):
    return self.readout(self.lstm(self.embedding(bits))[0])


def train(delay, units, seed):
  torch.manual_seed(seed)
  model = Repeater(units)
  optimizer = torch.optim.Adam(model.parameters(), 0.02)
  for _ in range(150):
    bits = torch.randint(0, 2, (32, 20))
    logits = model(bits)[:, delay:]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), bits[:, :-delay].flatten()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
  right = model(bits)[:, delay:].argmax(-1) == bits[:, :-delay]
  return model, right.float().mean().item()


table = {
    "delay": [1 + i % 4 for i in range(24)],
    "units": [(8, 12)[i // 4 % 2] for i in range(24)],
}
models, table["accuracy"] = zip(*[
    train(delay, units, seed)
    for seed, (delay, units) in enumerate(zip(*table.values()))
])
print(f"accuracy of the worst network: {min(table['accuracy']):.0%}")

# %% [markdown]
# ## A zoo of them
#
# What networks read decides what their codes can show: take inputs like
# those that they were trained on. The outputs of the first two models are
# compared with those of the networks that were read, so that nothing in
# `forward` is overlooked. In a shell, `python -m zoo_gen.collect` does the same
# from files; see [Your networks](../your_networks.md).

# %%
bits = np.random.default_rng(0).integers(0, 2, (16, 20))
answers = [m(torch.as_tensor(bits)).detach().numpy() for m in models[:2]]
weightspace.zoo.from_networks(
    workdir / "repeaters",
    models,
    {"inputs": bits, "outputs": np.stack(answers)},
    table,
    accuracy="accuracy",
)
zoo = weightspace.zoo.open(workdir / "repeaters")
for rnn in zoo.rnns:
  print(rnn.spec)

# %% [markdown]
# ## An encoder of them
#
# `watching` reads what networks answer to 64 inputs like theirs, so that
# networks of all sizes share one space of codes. It learns by emulation,
# without any column of the table. From so few networks, encoders that choose
# their own questions learn them by heart: `interactive` reaches an R2 of .3
# below.

# %%
config = emulation.get_config("watching,quickstart")
config.emulation.update(steps=300, validate_every=50)
run = pretrain(zoo, config.to_dict(), workdir / "repeater", progress=quiet)
code = codes.of_zoo(zoo, run)
print(f"codes: {code.shape}")

# %% [markdown]
# ## What the codes show
#
# A ridge regression predicts the delay of each network from its code, fitted on
# the codes of all others. With networks by the hundred, `experiments.predict`
# trains and chooses heads, and tests them on networks that were held out.

# %%
delay = zoo.columns["delay"]


def left_out(code, target, ridge=0.01):
  """Predictions of each row by a fit on all others."""
  x = np.concatenate([code, np.ones((len(code), 1))], axis=1)
  penalty = ridge * np.eye(x.shape[1])
  hat = x @ np.linalg.solve(x.T @ x + penalty, x.T)
  return target - (target - hat @ target) / (1 - np.diag(hat))


predicted = left_out(code, delay)
r2 = 1 - np.sum((delay - predicted) ** 2) / np.sum((delay - delay.mean()) ** 2)
print(f"R2 of the delay, from codes of other networks: {r2:.2f}")


# %%
@style.styled
def draw(xy, explained, delay, predicted):
  figure = style.new(3.6)
  left, right = figure.subplots(1, 2)
  points = left.scatter(
      *xy.T, c=delay, cmap=style.SEQUENTIAL, s=30, edgecolor="white",
      linewidth=0.4,
  )  # fmt: skip
  figure.colorbar(points, label="delay", ticks=range(1, 5))
  left.set(title="Codes", xticks=[], yticks=[])
  left.set_xlabel(f"first component ({explained[0]:.0%} of variance)")
  left.set_ylabel(f"second component ({explained[1]:.0%})")
  right.plot([1, 4], [1, 4], color=style.GREY, linewidth=1)
  right.scatter(delay, predicted, color=style.BLUE, s=20)
  right.set(title="Delay, by a fit on all other networks")
  right.set(xlabel="delay", ylabel="predicted", xticks=range(1, 5))
  return figure


xy, explained = codes.pca(code)
figure = draw(xy, explained, delay, predicted)
figure.savefig(workdir / "your_networks.png", dpi=150)
figure
