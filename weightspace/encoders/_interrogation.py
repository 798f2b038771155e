"""The interrogation loop: probe a network, read its answers, write a code.

At each of L steps a decoder turns something into M probe inputs, one for each
of M parallel sequences; the network under study reads them and answers; a
recurrent core reads the answers. The network is only ever *run*, so whatever
leaves its outputs as they are leaves the code as it is.

What probes start as, before anything is learned (`start`):

  learned   whatever an untrained decoder makes: the paper's
  inputs    real inputs of the zoo's training networks
  samples   the network's own samples: Gumbel noise and the log-probabilities
            of its last answer are added to what probes are decoded from

What the code is read from (`reads`, several joined by "+"):

  state     the core's last output: the paper's
  answers   all answers, by an MLP
  sums      sums over time of probes and answers, the sequences as a set
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace.encoders import (
    Encoder,
    Inputs,
    Transcript,
    _deferred,
    _modules,
    _sums,
)
from weightspace.keys import derive
from weightspace.rnn import RNN, read_directly
from weightspace.types import Linear

STARTS = ("learned", "inputs", "samples")
TOKENS = ("soft", "hard")
READS = ("state", "answers", "sums")
_LOGIT = 4.0  # of a real token that a probe starts as
_EDGE = 0.02  # real inputs nearer to the limits of probes start so far away


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
    start: what probes start as, see the module.
    tokens: "soft" (a softmax, the paper's) or "hard": the likeliest token, with
      the gradient of the softmax (straight-through).
    reads: what the code is read from, see the module.
    reader: units of the MLPs that read answers and sums.
    probe_scale: on the decoder's outputs before they are squashed.
    probe_limit: the decoder's outputs are bounded by it, smoothly; 0 does not.
      Unbounded, a high learning rate makes a decoder ask for one token for
      ever, and no gradient tells it that others would be better.
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
  start: str = "learned"
  tokens: str = "soft"
  reads: str = "state"
  reader: int = 128
  probe_scale: float = 1.0
  probe_limit: float = 0.0
  low: float = -3.0
  high: float = 3.0

  def __post_init__(self):
    _modules.check_sizes(
        self, "parallel", "length", "hidden", "layers", "decoder", "code",
        "reader",
    )  # fmt: skip
    _modules.check_choice("start", self.start, STARTS)
    _modules.check_choice("tokens", self.tokens, TOKENS)
    for name in self.reads.split("+"):
      _modules.check_choice("reads", name, READS)
    _modules.check_limits(self)
    if self.probe_scale <= 0:
      raise ValueError(
          f"probe_scale must be positive, got {self.probe_scale}"
      )


def make(
    config: Config,
    rnn: RNN,
    inputs: Inputs,
    init_source: Callable = lambda key: {},
    source: Callable = lambda params, heard, t: heard,
) -> Encoder:
  """An encoder that interrogates.

  Args:
    config: sizes.
    rnn: the shape of the networks under study.
    inputs: what they read. Probes are soft or hard tokens, or lie in
      [low, high].
    init_source: (key) -> params of `source`, any pytree; by default none.
    source: (params, output of the core [hidden], t) -> what the probes of
      step t are decoded from; by default that output.

  Raises:
    ValueError: probes start as samples of networks that generate nothing.
  """
  m, size, outputs = config.parallel, rnn.spec.inputs, rnn.spec.outputs
  reads = config.reads.split("+")
  if config.start == "samples":
    _sums.check_generates(rnn, inputs, "start='samples'")
  decoder = _modules.MLP((config.decoder, m * size))
  # The layers of `decoder`, one by one
  hidden, last = nn.Dense(config.decoder), nn.Dense(m * size)
  embed = nn.Dense(config.hidden)
  readers = {
      "state": nn.Dense(config.code),
      "answers": _modules.MLP((config.reader, config.code)),
      "sums": _sums.Reader(config.reader, config.code),
  }

  def init(key):
    heard = jnp.zeros(config.hidden)
    first = init_source(derive(key, "source"))
    params = {
        "source": first,
        "decoder": decoder.init(
            derive(key, "decoder"), source(first, heard, jnp.int32(0))
        ),
        "embed": embed.init(derive(key, "embed"), jnp.zeros(m * outputs)),
        "core": _modules.init_core(
            derive(key, "core"), config.hidden, config.layers
        ),
    }
    if config.start != "learned":  # at first, nothing is added to the start
      kernels = params["decoder"]["params"]["Dense_1"]
      params["decoder"]["params"]["Dense_1"] = jax.tree.map(
          jnp.zeros_like, kernels
      )
    if config.start == "inputs":
      params["start"] = jax.random.normal(
          derive(key, "start"), (config.length, m, size)
      )
    transcript = Transcript(
        jnp.zeros((config.length, m, size)),
        jnp.zeros((config.length, m, outputs)),
    )
    for name in reads:
      params[f"read_{name}"] = readers[name].init(
          derive(key, f"read {name}"), _evidence(name, heard, transcript)
      )
    return params

  def start_from(params, examples):
    """Probes that start as `examples`, [n, T, I], at least M of them."""
    examples = _modules.fit_examples(examples, m, config.length)
    if inputs.kind == "token":
      logits = _LOGIT * examples
    else:
      share = (examples - config.low) / (config.high - config.low)
      share = jnp.clip(share, _EDGE, 1 - _EDGE)
      logits = jnp.log(share) - jnp.log1p(-share)
    return params | {"start": logits / config.probe_scale}

  def squash(x):
    x = config.probe_scale * x
    soft = _modules.squash(inputs.kind, x, config.low, config.high)
    if inputs.kind == "real" or config.tokens == "soft":
      return soft
    hard = jax.nn.one_hot(jnp.argmax(x, axis=-1), size)
    return soft + jax.lax.stop_gradient(hard - soft)

  maps = {
      "hidden": lambda p, x: hidden.apply(_layer(p["decoder"], 0), x),
      "asked": lambda p, x: last.apply(_layer(p["decoder"], 1), x),
      "embedded": lambda p, x: embed.apply(p["embed"], x),
      **{
          name: lambda p, x, of_core=of_core: of_core(p["core"], x)
          for name, of_core in _modules.core_maps(config.layers).items()
      },
  }

  def step(affine, rest, carry, t):
    first, start, noise, weights = rest
    core, heard, state, answer = carry
    decoded = nn.relu(affine("hidden", source(first, heard, t)))
    asked = affine("asked", decoded).reshape(m, size)
    if config.probe_limit:
      asked = config.probe_limit * jnp.tanh(asked / config.probe_limit)
    if config.start == "inputs":
      asked = asked + start[t]
    if config.start == "samples":
      asked = asked + jax.nn.log_softmax(answer) + noise[t]
    probe = squash(asked)
    if config.start == "samples":
      probe = jnp.where(t == 0, jax.nn.one_hot(inputs.first, size), probe)
    state, answer = rnn.step(weights, state, probe)
    read = answer.reshape(m * outputs)
    core, heard = _modules.core_step(
        affine, core, read, affine("embedded", read)
    )
    return (core, heard, state, answer), Transcript(probe, answer)

  def interrogate(params, weights, key=None):
    carry = (
        _modules.core_state(config.hidden, config.layers),
        jnp.zeros(config.hidden),
        rnn.initial_state((m,)),
        jnp.zeros((m, outputs)),
    )
    noise = ()
    if config.start == "samples":
      noise = jax.random.gumbel(
          _sums.sampling_key(key), (config.length, m, size)
      )
    kernel, bias = (params["embed"]["params"][k] for k in ("kernel", "bias"))
    core = read_directly(params["core"], Linear(kernel.T, bias))
    rest = (
        params["source"],
        jnp.asarray(params["start"]) if "start" in params else (),
        jax.lax.stop_gradient(noise),
        weights,
    )
    (_, heard, *_), transcript = _deferred.scan(
        step, maps, {**params, "core": core}, rest, carry,
        jnp.arange(config.length),
    )  # fmt: skip
    code = sum(
        readers[name].apply(
            params[f"read_{name}"], _evidence(name, heard, transcript)
        )
        for name in reads
    )
    return _modules.unit(code), transcript

  _evidence = functools.partial(_evidence_of, inputs.kind)
  return Encoder(
      init=init,
      apply=lambda params, weights, key=None: interrogate(
          params, weights, key
      )[0],
      invariant=True,
      transcript=lambda params, weights: interrogate(params, weights)[1],
      start_from=start_from if config.start == "inputs" else None,
  )


def _evidence_of(kind, name, heard, transcript):
  """What the reader of that name reads."""
  if name == "state":
    return heard
  if name == "answers":
    return jax.nn.softmax(transcript.answers).ravel()
  return _sums.features(kind, transcript)


def _layer(mlp, place):
  """Params of one layer of a `_modules.MLP`."""
  return {"params": mlp["params"][f"Dense_{place}"]}
