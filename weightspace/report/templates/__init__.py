"""HTML of reports, as jinja2 templates; everything is escaped unless marked."""

import functools
from typing import Any


@functools.cache
def _environment():
  import jinja2

  from weightspace.report import text, vocabulary

  environment = jinja2.Environment(
      loader=jinja2.PackageLoader("weightspace.report", "templates"),
      autoescape=True,
      trim_blocks=True,
      lstrip_blocks=True,
      undefined=jinja2.StrictUndefined,
  )
  environment.globals |= {"text": text, "vocabulary": vocabulary}
  return environment


def render(template: str, **values: Any) -> str:
  """Fills in a template of this folder."""
  return _environment().get_template(template).render(values)
