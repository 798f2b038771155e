"""What encoders on disk say of the zoo and tasks they were trained on."""

import dataclasses
from typing import Any

from weightspace.errors import UserError
from weightspace.pretrained import _checks
from weightspace.pretrained._checks import (
  require,
  require_fields,
  require_integer,
)
from weightspace.rnn import make_rnn
from weightspace.tasks import TaskSpec
from weightspace.zoo import ZooSpec


def tasks_to_json(tasks: TaskSpec) -> dict[str, Any]:
  """Its fields; without categories as they were before there were any."""
  described = dataclasses.asdict(tasks)
  if not tasks.categories:
    del described["categories"]
  return described


def read_zoo(document: Any) -> ZooSpec:
  """The specification of the zoo; a ValueError names the field."""
  try:
    zoo = ZooSpec.from_json(document)
  except (TypeError, KeyError, AttributeError, OverflowError) as error:
    raise UserError(f"zoo is malformed ({error!r})") from error
  require_integer("zoo.snapshot_steps", zoo.snapshot_steps[-1], 0, 2**31)
  for rnn in zoo.rnns:
    require_integer("zoo.rnns.hidden", len(rnn.hidden), 1, _checks.DEEPEST)
    make_rnn(rnn)  # there is such a cell
  return zoo


def read_tasks(document: Any, zoo: ZooSpec) -> TaskSpec:
  """The tasks of that zoo; a ValueError names the field."""
  names = [field.name for field in dataclasses.fields(TaskSpec)]
  require(isinstance(document, dict), "tasks", document, "an object")
  tasks = {"categories": [], **document}
  require_fields("tasks", tasks, names)
  rnn = zoo.rnns[0]
  for name, value in (("inputs", rnn.inputs), ("outputs", rnn.outputs)):
    require_integer(f"tasks.{name}", tasks[name], value, value)
  require_integer("tasks.length", tasks["length"], 1, 2**31)
  require(
      tasks["kind"] in ("token", "real"), "tasks.kind", tasks["kind"],
      "'token' or 'real'",
  )  # fmt: skip
  for name in ("task_names", "metric_names", "symbols"):
    value = tasks[name]
    strings = isinstance(value, list) and all(type(v) is str for v in value)
    require(strings, f"tasks.{name}", value, "a list of strings")
    tasks[name] = tuple(value)
  for name in ("task_names", "metric_names"):
    expected = getattr(zoo, name)
    require(tasks[name] == expected, f"tasks.{name}", tasks[name], expected)
  if tasks["classes"] is not None:
    classes = tasks["classes"]
    pair = isinstance(classes, list) and len(classes) == 2
    require(pair, "tasks.classes", classes, "two integers")
    low = require_integer("tasks.classes", classes[0], -(2**31), 2**31)
    require_integer("tasks.classes", classes[1], low, low + _checks.MOST)
    tasks["classes"] = tuple(classes)
  if tasks["first"] is not None:
    require_integer("tasks.first", tasks["first"], 0, rnn.inputs - 1)
  tasks["categories"] = _categories(tasks["categories"])
  return TaskSpec(**tasks)


def _categories(document):
  """(column, values) of each categorical column."""
  name = "tasks.categories"
  require(isinstance(document, list), name, document, "a list")
  for pair in document:
    of_two = isinstance(pair, list) and len(pair) == 2
    require(of_two, name, pair, "a column and its values")
    column, values = pair
    strings = isinstance(values, list) and all(type(v) is str for v in values)
    require(type(column) is str and strings, name, pair, "strings")
    for text in (column, *values):  # they are printed
      require(text.isprintable(), name, text, "one line")
  return tuple((column, tuple(values)) for column, values in document)
