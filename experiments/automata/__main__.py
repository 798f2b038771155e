"""How often is the whole table of an automaton read out of a network?

    python -m experiments.automata --zoo=ZOO --out=FOLDER --lstar

Queries the final networks of a zoo of regular languages: which words do they
accept? The table is read off the answers, by the rule of
`weightspace.tasks.regular_language`, which queries all short words, and with
--lstar by AALpy's L*, which chooses its queries and needs the extra `automata`.
Nothing is trained. Writes FOLDER/tables.json, and the figure as
FOLDER/tables.png and .svg.

    python -m experiments.automata --heads --out=FOLDER

trains heads on the exact answers of random automata, and no network: do they
learn tables? Writes FOLDER/heads.json.
"""

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_ZOO = flags.DEFINE_string("zoo", None, "Folder of a zoo of regular_language.")
_OUT = flags.DEFINE_string("out", None, "Folder, made if it is missing.")
_LSTAR = flags.DEFINE_bool("lstar", False, "Whether to compare with L*.")
_HEADS = flags.DEFINE_bool("heads", False, "Train heads on exact answers.")
_NETWORKS = flags.DEFINE_integer(
    "networks", None, "The first so many; all by default.", 1
)


def main() -> None:
  """Measures, draws, and prints the shares of tables that are right."""
  from pathlib import Path

  from experiments import results
  from experiments.automata import figure, heads, measure
  from weightspace.progress import Progress
  from weightspace.report import style

  folder = Path(_OUT.value)
  if _HEADS.value == bool(_ZOO.value):
    raise UserError(
        "give either --zoo=DIR, a zoo of regular languages, or --heads, which"
        " needs none"
    )
  if _HEADS.value:
    measured = heads.measure()
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "heads.json", measured)
    for cell in measured["heads"]:
      _show(
          f"words of up to {cell['letters']} letters,"
          f" {cell['automata']} automata", cell["all_right"],
      )  # fmt: skip
    return
  style.require_matplotlib()  # rather now than at the end
  measured = measure.measure(
      _ZOO.value, lstar=_LSTAR.value, networks=_NETWORKS.value,
      progress=Progress(),
  )  # fmt: skip
  folder.mkdir(parents=True, exist_ok=True)
  results.write(folder / "tables.json", measured)
  style.save(figure.draw(measured), folder, "tables")
  for name, reader in measured["readers"].items():
    words = reader["whole"]["words"]
    _show(f"{name}, {words:.0f} words queried, median", reader["whole"])


def _show(title, whole):
  print(
      f"{title}: {whole['value']:.3f} ({whole['low']:.3f}, {whole['high']:.3f})"
      " of the tables are right"
  )


if __name__ == "__main__":
  launch.run(main, required=("out",))
