"""Names, comments, docstrings, messages and documents use the field's words.

`banned_words.json` says what to write instead: of whole identifiers (`names`),
parts of identifiers, and prose (`text`, regular expressions). `python
tests/test_words.py` lists all that is banned, in exempt files too.
"""

import ast
import io
import json
import pathlib
import re
import tokenize
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).parents[1]
_FOLDERS = ("docs", "experiments", "results", "tests", "weightspace", "zoo_gen")
_SUFFIXES = (".cc", ".css", ".h", ".js", ".md", ".py")
_BANNED = json.loads((_ROOT / "tests/banned_words.json").read_text())
_TEXT = re.compile(rf"\b(?:{'|'.join(_BANNED['text'])})(?!\w)", re.IGNORECASE)


def _in_text(text: str, line: int = 1) -> Iterator[tuple[int, str]]:
  for match in _TEXT.finditer(text):
    yield line + text.count("\n", 0, match.start()), match.group()


def _in_python(text: str) -> Iterator[tuple[int, str]]:
  for node in ast.walk(ast.parse(text)):
    match node:
      case (
          ast.FunctionDef(name=name)
          | ast.ClassDef(name=name)
          | ast.arg(arg=name)
          | ast.Name(id=name, ctx=ast.Store())
          | ast.Attribute(attr=name, ctx=ast.Store())
      ):
        parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_")
        whole = "_".join(filter(None, parts))
        if whole in _BANNED["names"] or not _BANNED["parts"].keys().isdisjoint(
            parts
        ):
          yield node.lineno, name
      case ast.Constant(value=str(string)) if " " in string:
        yield from _in_text(string, node.lineno)
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      yield from _in_text(token.string, token.start[0])


def _banned() -> Iterator[str]:
  folders = [(_ROOT / folder).rglob("*") for folder in _FOLDERS]
  for path in sorted({*_ROOT.glob("*.md"), *(p for f in folders for p in f)}):
    if path.suffix in _SUFFIXES:
      search = _in_python if path.suffix == ".py" else _in_text
      for line, word in search(path.read_text()):
        yield f"{path.relative_to(_ROOT)}:{line}: {word}"


def test_no_banned_words():
  exempt = set(_BANNED["exempt"])
  assert not [line for line in _banned() if line.split(":")[0] not in exempt]


if __name__ == "__main__":
  print(*_banned(), sep="\n")
