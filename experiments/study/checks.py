"""Checks of a study's config: all of it, before a folder is touched."""

from collections.abc import Mapping
from typing import Any

from experiments.study import study as study_lib
from weightspace import fields, plugins, properties, tasks
from weightspace.errors import UserError
from weightspace.evaluation import prediction
from weightspace.training import config as pretrain_config
from weightspace.training import supervised
from weightspace.zoo import ZooSpec


def check(config: Mapping[str, Any], specs: Mapping[str, ZooSpec]) -> None:
  """Makes every config that the jobs of a study are going to make.

  Args:
    config: of the study, see `experiments/configs/reproduce.py`.
    specs: of its zoos by family, those that are known by now.

  Raises:
    UserError: a field that does not exist or a value that cannot be, by name.
  """
  fields.check_seed(config["seed"], "seed")
  _integers(config, "resamples")
  for stage in ("emulation", "supervised", "few_labels"):
    if config[stage]:
      _integers(config[stage], "seeds", of=stage)
  if config["clones"]:
    _integers(config["clones"], "networks", of="clones")
  if config["few_labels"]:
    _integers(config["few_labels"], "steps", of="few_labels")
    for count in config["few_labels"]["networks"]:
      _integer(count, "few_labels.networks")
  _check_codes(config["codes"])
  for family in config["zoos"]:
    _check_properties(config, family, specs.get(family))
    _check_encoders(config, family)
    _check_heads(config, family)


def _check_codes(codes):
  if "rows" in codes:
    _integers(codes, "rows", of="codes")
    _integer(codes["twins"], "codes.twins", least=0)
  for count in codes.get("neighbours") or ():
    _integer(count, "codes.neighbours")
  if codes.get("perplexity") is not None:
    fields.check_number(codes["perplexity"], "codes.perplexity", above=0)


def _check_properties(config, family, spec):
  names = config["properties"][family]
  if not names:  # a study of variants alone predicts nothing else
    return
  properties.check_names(names)
  if spec is None:
    return
  made = tasks.make(family, spec.family_config)
  scope = properties.Scope(made.spec, spec.snapshot_steps)
  for name in names:
    properties.check(name, scope)


def check_columns(study: study_lib.Study) -> None:
  """Checks that the zoo's columns have values of all that is predicted.

  Raises:
    UserError: the column of a property is not there, or is no use.
  """
  names = study.config["properties"][study.name]
  if names:
    prediction.check(names, study.zoo.columns, study.rows, study.scope)


def _check_encoders(config, family):
  search = config["search"]
  points = [None]
  if search:
    points = [
        {"learning_rate": rate, "warmup": warmup}
        for rate in search["learning_rates"]
        for warmup in search["warmups"]
    ]
    if not points:
      raise UserError(
          "search.learning_rates and search.warmups must each name at least one"
      )
  for encoder in study_lib.encoders(config, family):
    for stage in ("emulation", "supervised"):
      for part in filter(None, (config[stage], search)):
        key = "steps" if part is config[stage] else stage
        steps = part[key][family]
        if steps is not None:
          _integer(steps, f"{stage}.steps")
        for point in points if config["models"] else ():
          made = study_lib.model(config, family, encoder, steps, point)
          pretrain_config.parse(made)
          if part is config["supervised"] and encoder in study_lib.learned(
              config, family
          ):
            supervised.parse({**made, "supervised": {"steps": steps}})
  for title, group in (config["variants"] or {}).items():
    _integers(group, "seeds", of=f"variants.{title}")
    if (steps := group["steps"].get(family)) is not None:
      _integer(steps, f"variants.{title}.steps")
      for name, variant in group["variants"].items():
        base = variant["base"]
        made = study_lib.model(config, family, base, steps, points[0])
        for part in made.keys() & variant.keys():
          made[part] |= variant[part]
        try:
          pretrain_config.parse(made)
        except UserError as error:
          raise UserError(f"variants.{title}: {name!r}: {error}") from error


def _check_heads(config, family):
  heads = config["heads"]
  if not heads:
    return
  settings = study_lib.of_family(heads["fields"], family)
  _integers(heads, "resamples", of="heads")
  for name, values in heads["trials"].items():
    if not values:
      raise UserError(f"heads.trials.{name} must name at least one value")
    for value in values:
      plugins.configure(
          prediction.Config, {**settings, name: value}, "heads"
      )
  plugins.configure(prediction.Config, settings, "heads")


def _integers(part, *names, of=None):
  for name in names:
    _integer(part[name], f"{of}.{name}" if of else name)


def _integer(value, name, least=1):
  fields.check_number(value, name, least=least)
  if value != int(value):
    raise UserError(f"{name} must be an integer, got {value!r}")
