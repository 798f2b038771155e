# %% [markdown]
# # Interrogate a network of your own
#
# An encoder that was trained on a zoo examines an LSTM of torch. What does the
# LSTM do, which of the zoo's networks is most like it, and how sure can we be?

# %%
import os
import pathlib
import tempfile

import jax
import numpy as np

import weightspace
from experiments.configs import emulation, prediction
from weightspace.evaluation.export import export
from weightspace.interop import torch as from_torch
from weightspace.pretrained import examination
from weightspace.progress import Progress
from weightspace.report import figures
from weightspace.training.pretrain import pretrain
from zoo_gen import shards
from zoo_gen.configs import formal_languages

# All that is made goes here; set the variable to keep it.
workdir = pathlib.Path(
    os.environ.get("WEIGHTSPACE_NOTEBOOKS") or tempfile.mkdtemp()
)
quiet = Progress.silent()

# %% [markdown]
# ## The network
#
# It reads and writes the symbols of formal languages: a, b, c, d, the begin
# and the end of a string. Nobody trained it; we write its weights down. Its
# gates are wide open, its memory holds the last symbol and nothing else, and
# the read-out allows whatever may follow. So it knows the *order* of the
# letters and cannot count. Where torch is not installed, the same state dict
# of NumPy arrays will do.

# %%
a, b, c, d, BOS, EOS = range(6)
follows = {BOS: [a], a: [a, b], b: [b, c], c: [c, d], d: [d, EOS], EOS: [EOS]}
wide_open, shut, hidden = 8.0, -8.0, 6
gates = {  # in torch's order; the cell's input is a copy of the symbol
    "input": wide_open, "forget": shut, "cell": 0.0, "output": wide_open,
}  # fmt: skip
state = {
    "lstm.weight_ih_l0": np.zeros((4 * hidden, 6), np.float32),
    "lstm.weight_hh_l0": np.zeros((4 * hidden, hidden), np.float32),
    "lstm.bias_ih_l0": np.repeat(np.float32(list(gates.values())), hidden),
    "lstm.bias_hh_l0": np.zeros(4 * hidden, np.float32),
    "readout.weight": np.zeros((6, hidden), np.float32),
    "readout.bias": np.zeros(6, np.float32),
}
state["lstm.weight_ih_l0"][2 * hidden : 3 * hidden] = 8 * np.eye(hidden)
for symbol, successors in follows.items():
  state["readout.weight"][successors, symbol] = 12

try:
  import torch
except ImportError:
  network = state
else:
  network = torch.nn.ModuleDict({
      "lstm": torch.nn.LSTM(6, hidden), "readout": torch.nn.Linear(hidden, 6),
  })  # fmt: skip
  network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})

rnn, weights = from_torch.load(network)  # a file of safetensors would do, too
print(type(network).__name__, "->", rnn.spec)

xs = np.eye(6, dtype=np.float32)[[BOS, a, b, c, d]]
for symbol, odds in zip("^abcd", jax.nn.softmax(rnn.unroll(weights, xs))):
  print(f"after {symbol}:", " ".join(f"{p:.2f}" for p in odds))

# %% [markdown]
# ## An encoder
#
# Interactive probing runs the network, so that it takes networks of any size.
# We train one for some moments on a small zoo (the one of *Look at a zoo*,
# made here where it is missing) and add heads, which predict properties from
# codes. The launchers `experiments.pretrain` and `experiments.export_encoder`
# do the same.

# %%
config = formal_languages.get_config("tiny")
config.task.update(length=18, max_n=4, shift_min=-1, shift_max=1)
config.rnn.hidden = (12,)
config.recipe.snapshot_steps = (0, 50, 150, 400)
config.networks = 32
shards.generate(workdir / "zoo", shards.plan(config.to_dict()), progress=quiet)
zoo = weightspace.zoo.open(workdir / "zoo")

config = emulation.get_config("interactive,tiny")
config.encoder.update(length=10, code=8, probe_limit=3.0)
config.emulation.update(steps=100, batch=32, validate_every=50)
config = config.to_dict()
run = pretrain(zoo, config, workdir / "interactive", progress=quiet)
heads = prediction.get_config()
heads.update(forms=("linear",), steps=300, resamples=20)
encoder = export(
    zoo, run, config, heads.to_dict(), members=3, about={}, progress=quiet
)

# %% [markdown]
# To keep it for later, `weightspace.save_encoder(folder, encoder)` writes it as
# a folder that needs no zoo, and `weightspace.load_encoder(folder)` reads it.
#
# ## Examine
#
# The encoder was trained for moments, so expect little of its predictions. It
# reports what a good one reports too: how far the heads disagree, and that no
# network of the zoo had this shape.

# %%
result = encoder.examine(weights, rnn, neighbours=3)
print(examination.to_text(result))

# %% [markdown]
# ## Probes and answers
#
# Each probe is a soft mixture of symbols and depends on the answers before it.
# Darker means more of a symbol; the largest share is written out. The answers
# are as designed: after an *a* come *a* or *b* with even odds, whatever came
# before.

# %%
transcript = encoder.transcript(weights, rnn)
figure = figures.transcript({
    "symbols": encoder.tasks.symbols,
    "probes": np.asarray(transcript.probes),
    "answers": np.asarray(jax.nn.softmax(transcript.answers)),
})
figure.savefig(workdir / "your_own_network.png", dpi=150)
figure
