"""--help says what the fields of the config that was given mean."""

import subprocess
import sys

import pytest

from weightspace import config_help, config_words

WITHOUT = {"encoder.name"}  # named in --config itself
CONFIGS = {
    "experiments/configs/emulation.py:interactive,tiny": WITHOUT,
    "experiments/configs/emulation.py:dws,paper": WITHOUT,
    "experiments/configs/prediction.py": set(),
    "experiments/configs/prediction.py:tiled_mnist": set(),
    "experiments/configs/theory.py:tiny": set(),
    "zoo_gen/configs/formal_languages.py:tiny": set(),
    "zoo_gen/configs/secret_paths.py": set(),
    "zoo_gen/configs/tiled_mnist.py:paper": set(),
}


@pytest.mark.parametrize("flag", CONFIGS)
def test_every_field_has_a_meaning(flag):
  _, *lines = config_help.describe(flag).splitlines()
  fields = [
      (line, after)
      for line, after in zip(lines, [*lines[1:], ""])
      if not line.startswith(6 * " ")
  ]
  assert len(fields) > 5
  without = {
      line.strip().partition("=")[0]
      for line, after in fields
      if not after.startswith(6 * " ")
  }
  assert without == CONFIGS[flag]


def test_values_are_those_of_the_argument(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text(
      "from dataclasses import dataclass\n"
      "from ml_collections import ConfigDict\n"
      "@dataclass\n"
      "class Config:\n"
      '  """A config.\n\n'
      "  Attributes:\n"
      "    steps: of descent,\n"
      "      all of them.\n"
      "    rate: how fast.\n\n"
      "  Raises:\n"
      "    ValueError: never.\n"
      '  """\n'
      "  steps: int\n"
      "def get_config(name='b'):\n"
      "  config = ConfigDict()\n"
      "  config.name = name  # which one\n"
      "  config.part = ConfigDict({'steps': 3, 'rate': 0.5, 'empty': ()})\n"
      "  return config\n"
      "def parts(config):\n"
      "  return {'part': Config}\n"
  )
  assert config_help.describe(f"{path}:a").splitlines()[1:] == [
      "  name='a'",
      "      which one",
      "  part.empty=()",
      "  part.rate=0.5",
      "      how fast.",
      "  part.steps=3",
      "      of descent, all of them.",
  ]
  assert "name='b'" in config_help.describe(str(path))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("task,accuracy", ("task", "accuracy")),
        ("column:dropout,column:angle:circular",
         ("column:dropout", "column:angle:circular")),
        ("column:dropout", ("column:dropout",)),
        ("task,", ("task",)),
        ("('task', 'accuracy')", ("task", "accuracy")),
        ("1,2.5", (1, 2.5)),
        ("()", ()),
        ("True,False", (True, False)),
    ],
)  # fmt: skip
def test_lists_of_words_need_no_quotes(text, expected):
  assert config_words.PARSER.parse(text) == expected


def test_a_flag_of_the_wrong_type_is_named():
  done = launch(
      "--config.steps=x", "--zoo=a", "--encoder=b", "--workdir=c",
      "--config.batch=4",
  )  # fmt: skip
  assert done.stderr == (
      "error: flag --config.steps=x: invalid literal for int() with base 10:"
      " 'x'; --help lists all flags\n"
  )


def launch(*arguments):
  return subprocess.run(
      [sys.executable, "-m", "experiments.predict", *arguments],
      capture_output=True, text=True, check=False,
  )  # fmt: skip


def test_help_of_a_launcher():
  config = "experiments/configs/prediction.py:tiled_mnist"
  done = launch(f"--config={config}", "--help")
  assert "--workdir: Folder of this run" in done.stdout
  assert "steps=8000\n      of gradient descent" in done.stdout
  done = launch("--help", "--config=experiments/configs/nothing.py")
  assert "--workdir: Folder of this run" in done.stdout
  assert done.stderr == (
      "error: --config=experiments/configs/nothing.py: there is no file"
      " experiments/configs/nothing.py\n"
  )


def test_lists_of_words_are_flags_of_launchers():
  done = launch(
      "--config.properties=column:a,column:b:round", "--zoo=a", "--encoder=b",
      "--workdir=c",
  )  # fmt: skip
  assert done.returncode == 1
  assert done.stderr.startswith("error: a is not a zoo")
