"""The baseline: each encoder as one would write it in PyTorch.

    python -m experiments.benchmarks._torch_encoders '{"encoder": {...}, ...}'

Plain modules of the architectures and sizes of `weightspace.encoders`, with
the emulator, trained on random networks: a batch of LSTMs of 2 x 32 and a
sequence of 42 symbols of each a step, in float32 or, where the argument has
"bfloat16", under autocast to that. Needs torch alone, so that it runs in an
environment without JAX. The last line it prints is JSON: `ms_per_step`, after
one step to warm up.
"""

import itertools
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional

VOCABULARY, LENGTH, HIDDEN, LAYERS, GATES = 6, 41, 32, 2, 4


def mlp(sizes: list[int]) -> nn.Sequential:
  """Dense layers with ReLU between them."""
  layers = []
  for before, after in itertools.pairwise(sizes):
    layers += [nn.Linear(before, after), nn.ReLU()]
  return nn.Sequential(*layers[:-1])


def random_networks(count: int) -> list[torch.Tensor]:
  """Weights of LSTMs with a read-out, gates apart, a batch of each tensor."""
  shapes = []
  for read in (VOCABULARY, *[HIDDEN] * (LAYERS - 1)):
    shapes += [(GATES, HIDDEN, read), (GATES, HIDDEN, HIDDEN)]
    shapes += [(GATES, HIDDEN)] * 2
  shapes += [(1, VOCABULARY, HIDDEN), (1, VOCABULARY)]
  return [torch.randn(count, *shape) / 5 for shape in shapes]


class Statistics(nn.Module):
  """Mean, deviation and quantiles of each gate of each tensor."""

  def __init__(self, config, networks):
    super().__init__()
    features = 7 * sum(leaf.shape[1] for leaf in networks)
    hidden = [config["hidden"]] * config["layers"]
    self.mlp = mlp([features, *hidden, config["code"]])
    self.register_buffer("levels", torch.tensor([0, 0.25, 0.5, 0.75, 1.0]))

  def forward(self, networks):
    outputs = []
    for leaf in networks:
      rows = leaf.flatten(2)
      quantiles = torch.quantile(rows, self.levels, dim=2)
      outputs += [rows.mean(2), rows.std(2), quantiles.movedim(0, 2).flatten(1)]
    return self.mlp(torch.cat(outputs, dim=1))


def augment(networks: list[torch.Tensor]) -> list[torch.Tensor]:
  """Reorders the hidden units of each network anew."""
  networks = list(networks)
  count = len(networks[0])
  for layer in range(LAYERS):
    order = torch.rand(count, HIDDEN).argsort(dim=1)
    start = 4 * layer
    for place in range(start, start + 4):
      leaf = networks[place]
      index = order.reshape(count, 1, HIDDEN, *[1] * (leaf.ndim - 3))
      networks[place] = leaf.gather(2, index.expand_as(leaf))
    reads = [start + 1, start + 4 if layer < LAYERS - 1 else 4 * LAYERS]
    for place in reads:
      leaf = networks[place]
      index = order.reshape(count, 1, 1, HIDDEN).expand_as(leaf)
      networks[place] = leaf.gather(3, index)
  return networks


class Flat(nn.Module):
  """An MLP of all weights."""

  def __init__(self, config, networks):
    super().__init__()
    size = sum(leaf[0].numel() for leaf in networks)
    hidden = [config["hidden"]] * config["layers"]
    self.mlp = mlp([size, *hidden, config["code"]])

  def forward(self, networks):
    networks = augment(networks)
    return self.mlp(torch.cat([leaf.flatten(1) for leaf in networks], dim=1))


class Block(nn.Module):
  """Pre-norm attention and MLP."""

  def __init__(self, width, heads, factor):
    super().__init__()
    self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
    self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
    self.mlp = mlp([width, factor * width, width])

  def forward(self, tokens):
    x = self.norms[0](tokens)
    tokens = tokens + self.attention(x, x, x, need_weights=False)[0]
    return tokens + self.mlp(self.norms[1](tokens))


class Transformer(nn.Module):
  """A token for each unit and gate, and for each output."""

  def __init__(self, config, networks):
    super().__init__()
    width = config["width"]
    rows = self.rows(networks)
    self.embed = nn.ModuleList([nn.Linear(r.shape[-1], width) for r in rows])
    count = sum(r.shape[1] for r in rows)
    self.positions = nn.Parameter(0.02 * torch.randn(count, width))
    self.readout = nn.Parameter(0.02 * torch.randn(1, 1, width))
    self.blocks = nn.Sequential(*[
        Block(width, config["heads"], config["mlp"])
        for _ in range(config["layers"])
    ])
    self.norm = nn.LayerNorm(width)
    self.write = nn.Linear(width, config["code"])

  @staticmethod
  def rows(networks):
    outputs = []
    for start in range(0, 4 * LAYERS, 4):
      wx, wh, bx, bh = networks[start : start + 4]
      joined = torch.cat([wx, wh, bx[..., None], bh[..., None]], dim=-1)
      outputs.append(joined.flatten(1, 2))
    w, b = networks[-2:]
    outputs.append(torch.cat([w, b[..., None]], dim=-1).flatten(1, 2))
    return outputs

  def forward(self, networks):
    rows = self.rows(augment(networks))
    tokens = torch.cat([f(r) for f, r in zip(self.embed, rows)], dim=1)
    tokens = tokens + self.positions
    readout = self.readout.expand(len(tokens), -1, -1)
    tokens = self.blocks(torch.cat([readout, tokens], dim=1))
    return self.write(self.norm(tokens[:, 0]))


class EquivariantLayer(nn.Module):
  """Every pair of tensors with a Linear of its own, as one first writes it."""

  def __init__(self, axes, channels):
    super().__init__()
    self.axes = axes
    self.maps = nn.ModuleDict()
    for i, to in enumerate(axes):
      self.maps[f"{i}"] = nn.Linear(channels, channels)
      for j, axis_pair in enumerate(axes):
        self.maps[f"{i} {j} all"] = nn.Linear(channels, channels, bias=False)
        for p, axis in enumerate(to):
          for q, other in enumerate(axis_pair):
            if axis == other and (i, len(to)) != (j, 1):
              name = f"{i} {j} {p} {q}"
              self.maps[name] = nn.Linear(channels, channels, bias=False)

  def forward(self, fields):
    means = [x.mean(dim=tuple(range(1, x.ndim - 1))) for x in fields]
    pools = [
        [x] if x.ndim == 3 else [x.mean(dim=2), x.mean(dim=1)] for x in fields
    ]
    out = []
    for i, to in enumerate(self.axes):
      y = self.maps[f"{i}"](fields[i])
      for j, axis_pair in enumerate(self.axes):
        z = self.maps[f"{i} {j} all"](means[j])
        y = y + z.reshape(len(z), *[1] * len(to), -1)
        for p in range(len(to)):
          for q in range(len(axis_pair)):
            name = f"{i} {j} {p} {q}"
            if name in self.maps:
              z = self.maps[name](pools[j][q])
              if len(to) == 2:
                z = z[:, :, None] if p == 0 else z[:, None]
              y = y + z
      out.append(functional.relu(y))
    return out


class Equivariant(nn.Module):
  """Deep weight-space network, paper's basis."""

  def __init__(self, config, networks):
    super().__init__()
    channels = config["channels"]
    self.axes, read = [], "input"
    for layer in range(LAYERS):
      h = f"h{layer}"
      self.axes += [(h, read), (h, h), (h,)]
      read = h
    self.axes += [("output", read), ("output",)]
    sizes = [GATES, GATES, 2 * GATES] * LAYERS + [1, 1]
    self.lift = nn.ModuleList([
        nn.Linear(size, channels, bias=False) for size in sizes
    ])
    self.embeddings = nn.ParameterList([
        torch.randn(VOCABULARY, channels) for _ in range(3)
    ])
    self.layers = nn.ModuleList([
        EquivariantLayer(self.axes, channels) for _ in range(config["layers"])
    ])
    count = channels * len(self.axes)
    self.write = mlp([count, config["hidden"], config["code"]])

  def forward(self, networks):
    fields = []
    for start in range(0, 4 * LAYERS, 4):
      wx, wh, bx, bh = networks[start : start + 4]
      fields += [wx, wh, torch.cat([bx, bh], dim=1)]
    fields += networks[-2:]
    fields = [f(x.movedim(1, -1)) for f, x in zip(self.lift, fields)]
    fields[0] = fields[0] * (1 + self.embeddings[0])
    fields[-2] = fields[-2] * (1 + self.embeddings[1][:, None])
    fields[-1] = fields[-1] * (1 + self.embeddings[2])
    for layer in self.layers:
      fields = layer(fields)
    means = [x.mean(dim=tuple(range(1, x.ndim - 1))) for x in fields]
    return self.write(torch.cat(means, dim=1))


def lstm_step(layer, state, x):
  """A step of a batch of LSTMs, each on M sequences: x [N, M, I]."""
  wx, wh, bx, bh = layer
  h, c = state
  a = x @ wx.flatten(1, 2).mT + h @ wh.flatten(1, 2).mT
  a = a + (bx + bh).flatten(1)[:, None]
  i, f, g, o = a.chunk(4, dim=-1)
  c = f.sigmoid() * c + i.sigmoid() * g.tanh()
  return o.sigmoid() * c.tanh(), c


class Probing(nn.Module):
  """An interrogation."""

  def __init__(self, config, networks):
    super().__init__()
    del networks
    self.config = config
    m, hidden = config["parallel"], config["hidden"]
    if config["name"] == "noninteractive":
      self.codes = nn.Parameter(torch.randn(config["length"], hidden))
    self.decoder = mlp([hidden, config["decoder"], m * VOCABULARY])
    self.answer_embed = nn.Linear(m * VOCABULARY, hidden)
    self.core = nn.ModuleList([
        nn.LSTMCell(hidden, hidden) for _ in range(config["layers"])
    ])
    self.code_head = nn.Linear(hidden, config["code"])

  def forward(self, networks):
    config, count = self.config, len(networks[0])
    m = config["parallel"]
    layers = [networks[4 * k : 4 * k + 4] for k in range(LAYERS)]
    w, b = networks[-2:]
    zeros = networks[0].new_zeros(count, m, HIDDEN)
    subject = [(zeros, zeros)] * LAYERS
    blank = networks[0].new_zeros(count, config["hidden"])
    core, hidden_out = [(blank, blank)] * config["layers"], blank
    for t in range(config["length"]):
      query = hidden_out
      if config["name"] == "noninteractive":
        query = self.codes[t].expand(count, -1)
      x = self.decoder(query).reshape(count, m, VOCABULARY)
      x = (config["probe_scale"] * x).softmax(dim=-1)
      for k, layer in enumerate(layers):
        subject[k] = lstm_step(layer, subject[k], x)
        x = subject[k][0]
      answer = x @ w[:, 0].mT + b
      hidden_out = self.answer_embed(answer.flatten(1))
      for k, cell in enumerate(self.core):
        core[k] = cell(hidden_out, core[k])
        hidden_out = hidden_out + core[k][0]
    return self.code_head(hidden_out)


class Emulator(nn.Module):
  """Reads symbols [T, N] and a code, predicts log-probabilities."""

  def __init__(self, config, code):
    super().__init__()
    hidden = config["hidden"]
    self.embedding = nn.Linear(VOCABULARY, hidden, bias=False)
    self.code = nn.Linear(code, hidden, bias=False)
    self.lstm = nn.LSTM(hidden, hidden, config["layers"])
    self.readout = nn.Linear(hidden, VOCABULARY)

  def forward(self, codes, symbols):
    x = self.embedding(functional.one_hot(symbols, VOCABULARY).float())
    x = torch.cat([x[:1] + self.code(codes), x[1:]])
    return self.readout(self.lstm(x)[0]).log_softmax(dim=-1)


ENCODERS = {
    "statistics": Statistics,
    "flat": Flat,
    "transformer": Transformer,
    "dws": Equivariant,
    "noninteractive": Probing,
    "interactive": Probing,
}


def train(encoder, emulator, networks, steps, bfloat16):
  """Milliseconds per step; the first step is not counted."""
  count = len(networks[0])
  optimizer = torch.optim.AdamW(
      [*encoder.parameters(), *emulator.parameters()], 1e-4, fused=True
  )
  symbols = torch.randint(VOCABULARY, (LENGTH, count))
  answers = torch.randn(LENGTH, count, VOCABULARY).softmax(dim=-1)
  for step in range(steps + 1):
    if step == 1:
      start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
      codes = functional.normalize(encoder(networks), dim=-1)
      emulation = emulator(codes, symbols).float().exp()
    loss = (emulation - answers).abs().sum(dim=-1).mean() / 2
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for module in (encoder, emulator):
      nn.utils.clip_grad_norm_(module.parameters(), 0.1)
    optimizer.step()
  return 1000 * (time.perf_counter() - start) / steps


def main() -> None:
  task = json.loads(sys.argv[1])
  torch.manual_seed(0)
  config = task["encoder"]
  networks = random_networks(task["networks"])
  encoder = ENCODERS[config["name"]](config, networks)
  emulator = Emulator(task["emulator"], config["code"])
  ms = train(encoder, emulator, networks, task["steps"], task["bfloat16"])
  print(json.dumps({
      "ms_per_step": ms,
      "parameters": sum(p.numel() for p in encoder.parameters()),
  }))


if __name__ == "__main__":
  main()
