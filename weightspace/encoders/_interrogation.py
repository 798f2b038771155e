"""The interrogation loop: ask, listen, and in the end write down a code.

At each of L steps a decoder turns something into M probe inputs, one for each
of M parallel sequences; the network under study reads them and answers; a
recurrent core reads the answers. The code is a projection of the core's last
output. The network is only ever *run*, so whatever leaves its outputs as they
are, leaves the code as it is.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace.encoders import Encoder, Transcript, _deferred, _modules
from weightspace.keys import derive
from weightspace.rnn import RNN, read_directly
from weightspace.types import Linear

CORES = ("residual", "gated")


@dataclass(frozen=True)
class Config:
  """Sizes of an interrogation; the defaults are the paper's.

  Attributes:
    parallel: sequences that are probed at the same time, M.
    length: steps of each, L.
    hidden: units of each layer of the core.
    layers: of the core.
    decoder: units of the hidden layer that probes are decoded with.
    code: size of the code, Z.
    probe_scale: on the decoder's outputs before they are squashed; large
      values make for hard tokens.
    probe_limit: what soft tokens are decoded from is bounded by it, smoothly;
      0 does not. Unbounded, a high learning rate makes a decoder ask for one
      token for ever, and no gradient tells it that others would be better.
    echo: how much of the network's last answer is added to what soft tokens
      are decoded from. 0 is the paper's. With 1 or more, an untrained
      interrogator lets the network go on by itself, on strings like those it
      was trained on, and learns where to interfere.
    core: what a layer of the core does to what it read, x. "residual", the
      paper's, adds its output h to it, so that x may grow; "gated" moves x
      towards h, x + g (h - x) with learned gates g, so that it stays bounded.
    tame_gradient: whether the gradient with respect to the state of the
      interrogation may not grow on its way back from one step to the one
      before; it is scaled down to the norm that it had.
    low: smallest value of a real probe.
    high: largest value of a real probe. The two should cover what networks
      were trained to read: of normalised pixels some are negative and some
      above 1, out of reach of the sigmoid that the authors' release ends in.
  """

  parallel: int = 1
  length: int = 22
  hidden: int = 256
  layers: int = 2
  decoder: int = 128
  code: int = 16
  probe_scale: float = 1.0
  probe_limit: float = 0.0
  echo: float = 0.0
  core: str = "residual"
  tame_gradient: bool = False
  low: float = -3.0
  high: float = 3.0

  def __post_init__(self):
    _modules.check_sizes(
        self, "parallel", "length", "hidden", "layers", "decoder", "code"
    )
    if self.core not in CORES:
      raise ValueError(
          f"core must be one of {', '.join(CORES)}, got {self.core!r}"
      )
    if self.low >= self.high:
      raise ValueError(f"low={self.low} must be below high={self.high}")


def make(
    config: Config,
    rnn: RNN,
    kind: str,
    init_source: Callable,
    source: Callable,
) -> Encoder:
  """An encoder that interrogates.

  Args:
    config: sizes.
    rnn: the shape of the networks under study.
    kind: what they read: "token" (probes are soft tokens, on the simplex) or
      "real" (probes lie in [low, high]).
    init_source: (key) -> params of `source`, any pytree.
    source: (params, output of the core [hidden], t) -> what the probes of
      step t are decoded from.
  """
  m, inputs, outputs = config.parallel, rnn.spec.inputs, rnn.spec.outputs
  if config.echo and (kind != "token" or inputs != outputs):
    raise ValueError(
        f"echo={config.echo} needs networks that answer with the tokens they"
        f" read; these read {inputs} ({kind}) and answer {outputs}: set echo=0"
    )
  decoder = _modules.MLP((config.decoder, m * inputs))
  # The layers of `decoder`, one by one
  hidden, last = nn.Dense(config.decoder), nn.Dense(m * inputs)
  listener = nn.Dense(config.hidden)
  writer = nn.Dense(config.code)
  gates = nn.Dense(config.layers * config.hidden)

  def init(key):
    blank = jnp.zeros(config.hidden)
    first = init_source(derive(key, "source"))
    gated = config.core == "gated"
    return {
        "source": first,
        "decoder": decoder.init(
            derive(key, "decoder"), source(first, blank, jnp.int32(0))
        ),
        "listener": listener.init(
            derive(key, "listener"), jnp.zeros(m * outputs)
        ),
        "core": _modules.init_core(
            derive(key, "core"), config.hidden, config.layers
        ),
        "writer": writer.init(derive(key, "writer"), blank),
        **({"gates": gates.init(derive(key, "gates"), blank)} if gated else {}),
    }

  def squash(x):
    x = config.probe_scale * x
    if kind == "token":
      return jax.nn.softmax(x)
    return config.low + (config.high - config.low) * jax.nn.sigmoid(x)

  maps = {
      "hidden": lambda p, x: hidden.apply(_layer(p["decoder"], 0), x),
      "asked": lambda p, x: last.apply(_layer(p["decoder"], 1), x),
      "said": lambda p, x: listener.apply(p["listener"], x),
      "opened": lambda p, x: gates.apply(p["gates"], x),
      **{
          name: lambda p, x, of_core=of_core: of_core(p["core"], x)
          for name, of_core in _modules.core_maps(config.layers).items()
      },
  }

  def step(affine, rest, carry, t):
    first, weights = rest
    core, heard, subject, answer = carry
    decoded = nn.relu(affine("hidden", source(first, heard, t)))
    asked = affine("asked", decoded).reshape(m, inputs)
    if config.probe_limit:
      asked = config.probe_limit * jnp.tanh(asked / config.probe_limit)
    if config.echo:
      asked = asked + config.echo * answer
    probe = squash(asked)
    subject, answer = rnn.step(weights, subject, probe)
    read = answer.reshape(m * outputs)
    said = affine("said", read)
    opened = None
    if config.core == "gated":
      opened = jax.nn.sigmoid(affine("opened", said))
      opened = opened.reshape(config.layers, config.hidden)
    core, heard = _modules.core_step(affine, core, read, said, opened)
    return (core, heard, subject, answer), Transcript(probe, answer)

  def interrogate(params, weights):
    start = (
        _modules.core_state(config.hidden, config.layers),
        jnp.zeros(config.hidden),
        rnn.initial_state((m,)),
        jnp.zeros((m, outputs)),
    )
    kernel, bias = (params["listener"]["params"][k] for k in ("kernel", "bias"))
    core = read_directly(params["core"], Linear(kernel.T, bias))
    read = {**params, "core": core}, (params["source"], weights)
    times = jnp.arange(config.length)
    if config.tame_gradient:
      tamed = _tamed(_deferred.directly(step, maps))
      walk = functools.partial(tamed, read)
      (_, heard, *_), transcript = jax.lax.scan(walk, start, times)
    else:
      (_, heard, *_), transcript = _deferred.scan(
          step, maps, *read, start, times
      )
    code = _modules.unit(writer.apply(params["writer"], heard))
    return code, transcript

  return Encoder(
      init=init,
      apply=lambda params, weights: interrogate(params, weights)[0],
      invariant=True,
      transcript=lambda params, weights: interrogate(params, weights)[1],
  )


def _layer(mlp, place):
  """Params of one layer of a `_modules.MLP`."""
  return {"params": mlp["params"][f"Dense_{place}"]}


def _tamed(step):
  """`step`, whose gradient with respect to the carry does not grow."""

  def forward(arguments, carry, t):
    out, vjp = jax.vjp(lambda *a: step(*a, t), arguments, carry)
    return out, vjp

  def backward(vjp, gradients):
    of_arguments, before = vjp(gradients)
    limit, norm = _norm(gradients[0]), _norm(before)
    scale = limit / jnp.maximum(jnp.maximum(norm, limit), 1e-30)
    return of_arguments, jax.tree.map(lambda g: scale * g, before), None

  tamed = jax.custom_vjp(step)
  tamed.defvjp(forward, backward)
  return tamed


def _norm(tree):
  return jnp.sqrt(sum(jnp.vdot(x, x) for x in jax.tree.leaves(tree)))
