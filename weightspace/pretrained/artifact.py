"""Encoders on disk: safetensors and JSON, read as untrusted input.

    encoder.json         sealed: config, zoo, heads; checksum of the tensors
    tensors.safetensors  params, heads, reference table
    README.md            the model card

Every value is validated before its use: any file makes an encoder or a
ValueError.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import encoders, heads, plugins, properties, settings
from weightspace.errors import UserError
from weightspace.interop import tensors
from weightspace.io import files
from weightspace.keys import make_key
from weightspace.pretrained import _checks, _specs
from weightspace.pretrained._checks import (
  require,
  require_fields,
  require_integer,
  require_number,
)
from weightspace.pretrained.encoder import PretrainedEncoder
from weightspace.pretrained.ensembles import Ensemble
from weightspace.pretrained.reference import Reference
from weightspace.rnn import make_rnn

VERSION = 2
JSON, TENSORS, CARD = "encoder.json", "tensors.safetensors", "README.md"
_MOST_JSON = 4_000_000  # bytes
_FIELDS = (
    "version", "config", "zoo", "tasks", "heads", "reference", "about",
    "tensors", "checksum",
)  # fmt: skip
_HEAD_FIELDS = (
    "property", "form", "hidden", "layers", "members", "metrics",
)  # fmt: skip


def write(
    path: Path, encoder: PretrainedEncoder, card: str, most: int | None
) -> None:
  """See `weightspace.save_encoder`."""
  document, arrays = _describe(encoder)
  with files.new_folder(path) as scratch:
    tensors.write(scratch / TENSORS, arrays)
    document["tensors"] = {
        "bytes": (scratch / TENSORS).stat().st_size,
        "sha256": files.sha256(scratch / TENSORS),
    }
    files.write_text(scratch / JSON, files.seal(document))
    files.write_text(scratch / CARD, card)
    size = sum(file.stat().st_size for file in scratch.iterdir())
    if most is not None and size > most:
      raise UserError(
          f"{path} would have {size / 1e6:.1f} MB, at most {most / 1e6:.1f} are"
          " allowed; smaller or fewer heads, or fewer networks in the table,"
          " take less"
      )
    _check(scratch)


def _check(scratch):
  """Reads what was written; what cannot be read again is not left behind."""
  try:
    read(scratch)
  except ValueError as error:
    text = str(error).replace(f"{scratch}/", "")  # which is removed
    raise UserError(f"the encoder cannot be saved: {text}") from error


def _describe(encoder):
  """The document, but for the record of its tensors, and these."""
  arrays = _checks.prefixed("encoder", tensors.named(encoder.params))
  described = []
  for e in encoder.ensembles:
    prefix = f"heads/{e.property}"
    arrays |= _checks.prefixed(f"{prefix}/params", tensors.named(e.params))
    scaling = {"centre": e.centre, "scale": e.scale, "widening": e.widening}
    arrays |= _checks.prefixed(prefix, scaling)
    described.append({
        "property": e.property,
        "form": e.config.form,
        "hidden": e.config.hidden,
        "layers": e.config.layers,
        "members": e.members,
        "metrics": e.metrics,
    })
  reference = None
  if encoder.reference is not None:
    table = encoder.reference._asdict()
    reference = {"descriptions": list(table.pop("descriptions"))}
    if table["accuracy"] is None:
      del table["accuracy"]
    arrays |= _checks.prefixed("reference", table)
  document = {
      "version": VERSION,
      "config": encoder.config,
      "zoo": encoder.zoo.to_json(),
      "tasks": _specs.tasks_to_json(encoder.tasks),
      "heads": described,
      "reference": reference,
      "about": encoder.about,
  }
  return json.loads(json.dumps(document, allow_nan=False)), arrays


@settings.pinned()
def read(path: Path) -> PretrainedEncoder:
  """See `weightspace.load_encoder`.

  Raises:
    OSError: a file is missing or cannot be read.
    ValueError: it was altered, or is no encoder; the message says where.
  """
  try:
    return _read(path)
  except RecursionError as error:
    raise UserError(f"{path / JSON} is nested too deeply") from error
  except ValueError as error:
    prefix = "" if str(error).startswith(str(path)) else f"{path}: "
    raise UserError(f"{prefix}{error}") from error


def _read(path):
  document = _document(path / JSON)
  arrays = _checks.Arrays(path / TENSORS, document["tensors"])
  zoo = _specs.read_zoo(document["zoo"])
  tasks = _specs.read_tasks(document["tasks"], zoo)
  config, about = document["config"], document["about"]
  require(isinstance(config, dict), "config", config, "an object")
  require(isinstance(about, dict), "about", about, "an object")
  params, code = _params(config.get("encoder"), zoo, tasks, arrays)
  scope = properties.Scope(tasks, zoo.snapshot_steps)
  described = document["heads"]
  require(isinstance(described, list), "heads", described, "a list")
  ensembles = tuple(_ensemble(d, scope, code, arrays) for d in described)
  names = [e.property for e in ensembles]
  require(len(set(names)) == len(names), "heads", names, "one a property")
  reference = _reference(document["reference"], zoo, code, arrays)
  arrays.check_all_taken()
  return PretrainedEncoder(
      config, params, zoo, tasks, ensembles, reference, about
  )


def _document(path):
  size = path.stat().st_size
  if size > _MOST_JSON:
    raise UserError(f"{path} has {size} bytes, expected at most {_MOST_JSON}")
  try:
    document, text = files.parse(path)
    version = require_integer(
        "version", document.get("version"), 1, 2**31
    )
    if version > VERSION:
      raise UserError(
          f"it has format {version}, newer than {VERSION}, the newest"
          " supported; install a newer weightspace"
      )
    if version < VERSION:
      raise UserError(
          f"it has format {version}, older than {VERSION}, the only one"
          " supported; export it again from its run"
      )
    require_fields("the document", document, _FIELDS)
    files.check_seal(text)
  except ValueError as error:
    raise UserError(f"{path} is no description of an encoder: {error}") from (
        error
    )
  return document


def _params(fields, zoo, tasks, arrays):
  """The encoder's params, and the size of its codes."""
  require(isinstance(fields, dict), "config.encoder", fields, "an object")
  fields = dict(fields)
  name = fields.pop("name", None)
  require(type(name) is str, "config.encoder.name", name, "a string")
  defaults = plugins.load(encoders.__name__, name).Config()
  for field, value in fields.items():
    where, default = f"config.encoder.{field}", getattr(defaults, field, None)
    if type(default) is int:
      most = arrays.deepest if field == "layers" else arrays.largest
      require_integer(where, value, 0, most)
    elif type(default) is float:
      require_number(where, value)
    elif default is not None:
      kind = type(default)
      require(type(value) is kind, where, value, kind.__name__)
  rnn = make_rnn(zoo.rnns[0])
  try:
    encoder = encoders.make(name, fields, rnn, tasks)
    template = jax.eval_shape(encoder.init, make_key(0))
    blank = jax.eval_shape(
        lambda: rnn.unflatten(jnp.zeros(rnn.size, jnp.float32))
    )
    (code,) = jax.eval_shape(encoder.apply, template, blank).shape
  except Exception as error:  # sizes that do not fit raise many kinds
    raise UserError(
        f"config.encoder makes no encoder of {zoo.rnns[0]}:"
        f" {type(error).__name__}: {error}"
    ) from error
  return arrays.take_tree("encoder", template), code


def _ensemble(document, scope, code, arrays):
  require_fields("a head", document, _HEAD_FIELDS)
  name = document["property"]
  require(type(name) is str, "heads.property", name, "a string")
  property_ = properties.load(name, scope)
  form = document["form"]
  known = form in heads.FORMS and heads.fits(form, property_)
  require(known, "heads.form", form, "a form of heads of that property")
  config = heads.Config(
      form,
      require_integer("heads.hidden", document["hidden"], 1, arrays.largest),
      require_integer("heads.layers", document["layers"], 0, arrays.deepest),
  )
  members = require_integer(
      "heads.members", document["members"], 2, arrays.largest
  )
  metrics = document["metrics"]
  require(isinstance(metrics, dict), "heads.metrics", metrics, "an object")
  head = heads.make(config, property_, scope, code)
  template = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype),
      jax.eval_shape(head.init, make_key(0)),
  )
  numbers = property_.kind != "classification"
  n = property_.shape(scope) if numbers else (0,)
  return Ensemble(
      name,
      config,
      arrays.take_tree(f"heads/{name}/params", template),
      arrays.take(f"heads/{name}/centre", (members, *n)),
      arrays.take(f"heads/{name}/scale", (members, *n)),
      arrays.take(f"heads/{name}/widening", n),
      metrics,
  )


def _reference(document, zoo, code, arrays):
  if document is None:
    return None
  require_fields("reference", document, ("descriptions",))
  texts = document["descriptions"]
  strings = isinstance(texts, list) and all(type(t) is str for t in texts)
  require(strings, "reference.descriptions", texts, "a list of strings")
  for text in texts:  # they are printed
    require(text.isprintable(), "reference.descriptions", text, "one line")
  codes = arrays.take("reference/codes", (None, code))
  rows = (len(codes),)
  known = "accuracy" in zoo.metric_names
  table = Reference(
      codes,
      arrays.take("reference/net_id", rows, "int32"),
      arrays.take("reference/step", rows, "int32"),
      arrays.take("reference/accuracy", rows) if known else None,
      arrays.take("reference/shape", rows, "int32"),
      arrays.take("reference/task", rows, "int32"),
      arrays.take("reference/tasks", (len(texts), len(zoo.task_names))),
      tuple(texts),
  )
  for name, index, size in (
      ("shape", table.shape, len(zoo.rnns)),
      ("task", table.task, len(texts)),
  ):
    if np.any((index < 0) | (index >= size)):
      raise UserError(
          f"reference/{name} holds numbers outside of 0 to {size - 1}"
      )
  return table
