"""Interrogation (section 4.2): probe a network, read its outputs, emit a code.

At each of L steps a decoder maps a query to M probe inputs, one for each of M
parallel sequences. The network under study reads the probes, and a recurrent
core reads the network's outputs. The network is only evaluated, so the code is
invariant under every change of its weights that preserves its outputs.

How probes are initialised (`start`):

  learned   by an untrained decoder, as in the paper
  inputs    as real inputs of the zoo's training networks
  samples   as samples of the network itself: Gumbel noise and the
            log-probabilities of its last output are added to the logits of
            the probes

Features that the code is read from (`reads`, several joined by "+"):

  state     the core's last output, as in the paper
  answers   the outputs of all steps, by an MLP
  sums      sums over time of probes and outputs, the sequences as a set
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from weightspace import fields
from weightspace.encoders import (
  Encoder,
  Inputs,
  Transcript,
  _deferred,
  _modules,
  _sums,
)
from weightspace.keys import derive
from weightspace.rnn import RNN, fold_embedding
from weightspace.types import Linear

STARTS = ("learned", "inputs", "samples")
TOKENS = ("soft", "hard")
READS = ("state", "answers", "sums")
_START_LOGIT = 4.0  # initial logit of the token that a probe starts as
_MARGIN = 0.02  # of (0, 1): keeps initial logits of real probes finite


@dataclass(frozen=True)
class Config:
  """Sizes and variants of an interrogation; the defaults are the paper's.

  Attributes:
    parallel: number of probe sequences, M.
    length: steps of each sequence, L.
    hidden: units of each layer of the core.
    layers: number of layers of the core.
    decoder: units of the hidden layer of the probe decoder.
    code: size of the code, Z.
    start: how probes are initialised; see the module.
    tokens: "soft" (a softmax, as in the paper) or "hard" (the argmax, with the
      gradient of the softmax: straight-through).
    reads: features that the code is read from; see the module.
    reader: units of the hidden layers of the MLPs that read answers and sums.
    probe_scale: factor on the logits of the probes.
    probe_limit: soft bound on the decoder's outputs; 0 for none. Without it, a
      high learning rate can saturate the softmax at one token, where gradients
      vanish.
    low: minimum of a real probe.
    high: maximum of a real probe. The range [low, high] should cover the
      networks' training inputs: normalised pixels leave the range (0, 1) of
      the sigmoid in the authors' release.
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
    fields.check_integers(
        self, "parallel", "length", "hidden", "layers", "decoder", "code",
        "reader",
    )  # fmt: skip
    fields.check_choice("start", self.start, STARTS)
    fields.check_choice("tokens", self.tokens, TOKENS)
    for name in str(self.reads).split("+"):
      fields.check_choice("reads", name, READS)
    _modules.check_limits(self)
    fields.check_numbers(self, "probe_scale", above=0)
    fields.check_numbers(self, "probe_limit", least=0)


class Queries(NamedTuple):
  """The decoder's input at each step.

  Attributes:
    init: (key) -> params, any pytree.
    apply: (params, core output [hidden], step) -> query [hidden].
  """

  init: Callable
  apply: Callable


FEEDBACK = Queries(lambda key: {}, lambda params, output, t: output)


def step_queries(config: Config, *, feedback: bool) -> Queries:
  """One learned query for each step; `feedback` adds the core's output."""

  def init(key):
    return jax.random.normal(key, (config.length, config.hidden), jnp.float32)

  def apply(params, output, t):
    query = jnp.asarray(params)[t]
    return output + query if feedback else query

  return Queries(init, apply)


def make(
    config: Config, rnn: RNN, inputs: Inputs, queries: Queries = FEEDBACK
) -> Encoder:
  """An encoder that interrogates networks.

  Args:
    config: sizes and variants.
    rnn: the networks' architecture.
    inputs: the networks' inputs. Probes are soft or one-hot tokens, or lie in
      [low, high].
    queries: the decoder's input; by default the core's output.

  Raises:
    ValueError: `start` is "samples" and the networks are not autoregressive.
  """
  if config.start == "samples":
    _sums.check_generates(rnn, inputs, "start='samples'")
  model = _Interrogation(config, rnn, inputs, queries)
  return Encoder(
      init=model.init,
      apply=lambda *args: model.run(*args)[0],
      invariant=True,
      transcript=lambda *args: model.run(*args)[1],
      start_from=model.start_from if config.start == "inputs" else None,
  )


class _Interrogation:
  """The model behind `make`. Params are saved under the names in `init`."""

  def __init__(self, config, rnn, inputs, queries):
    self.config, self.rnn = config, rnn
    self.inputs, self.queries = inputs, queries
    self.probe_shape = config.parallel, rnn.spec.inputs  # [M, I]
    self.output_shape = config.parallel, rnn.spec.outputs  # [M, V]
    size = config.parallel * rnn.spec.inputs
    self.decoder = _modules.MLP((config.decoder, size))
    # The layers of `decoder`, one by one, for `_deferred.scan`
    self.decoder_layers = nn.Dense(config.decoder), nn.Dense(size)
    self.embed = nn.Dense(config.hidden)
    readers = {
        "state": nn.Dense(config.code),
        "answers": _modules.MLP((config.reader, config.code)),
        "sums": _sums.Reader(config.reader, config.code),
    }
    self.readers = {name: readers[name] for name in config.reads.split("+")}

  def init(self, key):
    """Initial params."""
    config = self.config
    output = jnp.zeros(config.hidden, jnp.float32)
    queries = self.queries.init(derive(key, "source"))
    params = {
        "source": queries,
        "decoder": self.decoder.init(
            derive(key, "decoder"),
            self.queries.apply(queries, output, jnp.int32(0)),
        ),
        "embed": self.embed.init(
            derive(key, "embed"),
            jnp.zeros(self.output_shape, jnp.float32).ravel(),
        ),
        "core": _modules.init_core(
            derive(key, "core"), config.hidden, config.layers
        ),
    }
    if config.start != "learned":  # the decoder adds nothing at first
      decoder = params["decoder"]["params"]
      decoder["Dense_1"] = jax.tree.map(jnp.zeros_like, decoder["Dense_1"])
    if config.start == "inputs":
      params["start"] = jax.random.normal(
          derive(key, "start"), (config.length, *self.probe_shape), jnp.float32
      )
    transcript = Transcript(
        jnp.zeros((config.length, *self.probe_shape), jnp.float32),
        jnp.zeros((config.length, *self.output_shape), jnp.float32),
    )
    for name, reader in self.readers.items():
      params[f"read_{name}"] = reader.init(
          derive(key, f"read {name}"), self._features(name, output, transcript)
      )
    return params

  def start_from(self, params, examples):
    """Initialises probes as the first M of `examples` [n, T, I]."""
    config = self.config
    examples = _modules.fit_examples(examples, config.parallel, config.length)
    if self.inputs.kind == "token":
      logits = _START_LOGIT * examples
    else:
      p = (examples - config.low) / (config.high - config.low)
      logits = jax.scipy.special.logit(jnp.clip(p, _MARGIN, 1 - _MARGIN))
    return params | {"start": logits / config.probe_scale}

  def run(self, params, weights, key=None):
    """Interrogates one network; returns its code [Z] and the `Transcript`."""
    config = self.config
    carry = (
        _modules.core_state(config.hidden, config.layers),
        jnp.zeros(config.hidden, jnp.float32),
        self.rnn.initial_state((config.parallel,)),
        jnp.zeros(self.output_shape, jnp.float32),
    )
    noise = ()
    if config.start == "samples":
      noise = jax.random.gumbel(
          # Not the key of samples, which `dialogue` reads beside the probes
          derive(_sums.sampling_key(key), "probes"),
          (config.length, *self.probe_shape),
          jnp.float32,
      )
    kernel, bias = (params["embed"]["params"][k] for k in ("kernel", "bias"))
    core = fold_embedding(params["core"], Linear(kernel.T, bias))
    rest = (
        params["source"],
        jnp.asarray(params["start"]) if "start" in params else (),
        jax.lax.stop_gradient(noise),
        weights,
    )
    (_, output, *_), transcript = _deferred.scan(
        self._step, self._maps(), {**params, "core": core}, rest, carry,
        jnp.arange(config.length, dtype=jnp.int32),
    )  # fmt: skip
    code = sum(
        reader.apply(
            params[f"read_{name}"], self._features(name, output, transcript)
        )
        for name, reader in self.readers.items()
    )
    return _modules.unit(code), transcript

  def _maps(self):
    """The linear maps of a step, (params, x) -> y, for `_deferred.scan`."""
    first, last = self.decoder_layers

    def layer(params, name):
      return {"params": params["decoder"]["params"][name]}

    return {
        "hidden": lambda p, x: first.apply(layer(p, "Dense_0"), x),
        "logits": lambda p, x: last.apply(layer(p, "Dense_1"), x),
        "embedded": lambda p, x: self.embed.apply(p["embed"], x),
        **{
            name: lambda p, x, core_map=core_map: core_map(p["core"], x)
            for name, core_map in _modules.core_maps(
                self.config.layers
            ).items()
        },
    }

  def _step(self, affine, rest, carry, t):
    queries, start, noise, weights = rest
    core, output, state, answer = carry
    hidden = nn.relu(
        affine("hidden", self.queries.apply(queries, output, t))
    )
    logits = affine("logits", hidden).reshape(self.probe_shape)
    probe = self._probe(logits, answer, start, noise, t)
    state, answer = self.rnn.step(weights, state, probe)
    flat = answer.ravel()
    core, output = _modules.core_step(
        affine, core, flat, affine("embedded", flat)
    )
    return (core, output, state, answer), Transcript(probe, answer)

  def _probe(self, logits, answer, start, noise, t):
    """Probes [M, I] of step t from the decoder's outputs."""
    config = self.config
    if config.probe_limit:
      logits = config.probe_limit * jnp.tanh(logits / config.probe_limit)
    if config.start == "inputs":
      logits = logits + start[t]
    if config.start == "samples":
      logits = logits + jax.nn.log_softmax(answer) + noise[t]
    logits = config.probe_scale * logits
    probe = _modules.squash(self.inputs.kind, logits, config.low, config.high)
    size = self.rnn.spec.inputs
    if self.inputs.kind == "token" and config.tokens == "hard":
      best = jnp.argmax(logits, axis=-1)
      hard = jax.nn.one_hot(best, size, dtype=jnp.float32)
      probe = probe + jax.lax.stop_gradient(hard - probe)
    if config.start == "samples":
      first = jax.nn.one_hot(self.inputs.first, size, dtype=jnp.float32)
      probe = jnp.where(t == 0, first, probe)
    return probe

  def _features(self, name, output, transcript):
    """The input of the reader of that name."""
    if name == "state":
      return output
    if name == "answers":
      return jax.nn.softmax(transcript.answers).ravel()
    return _sums.features(self.inputs.kind, transcript)
