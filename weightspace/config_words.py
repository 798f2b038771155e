"""Lists of words in flags of configs: --config.properties=task,accuracy."""

import ast
import re

from ml_collections import config_flags
from ml_collections.config_flags import tuple_parser

_WORDS = re.compile(r"[^\s,'\"()\[\]]+(,[^\s,'\"()\[\]]+)*,?")


class _Parser(tuple_parser.TupleParser):
  """Of a tuple: as a Python literal, or as words divided by commas."""

  def parse(self, argument):
    if isinstance(argument, str) and _WORDS.fullmatch(argument):
      try:
        ast.literal_eval(argument)
      except (ValueError, SyntaxError):
        return tuple(filter(None, argument.split(",")))
    return super().parse(argument)


PARSER = _Parser()


def register() -> None:
  """Has flags of configs read all tuples so."""
  config_flags.register_flag_parser_for_type(tuple, PARSER)
