"""The theory of section 3: solved, built by hand, and learned.

    python -m experiments.theory --workdir=DIR

1. Numbers of queries of interactive and non-interactive interrogators, exact,
   beside their closed forms.
2. RNNs built by hand for every secret path, and their answers to all queries.
3. Probing encoders that are trained to read such RNNs, beside what counting
   predicts.

Writes DIR/results.json and DIR/report/index.html. For a family of your own,

    python -m experiments.theory --family=FILE.csv

prints both numbers, an optimal decision tree and a smallest separating set.
The first row of the file names queries, its first column functions; the rest
are answers.
"""

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_CONFIG = launch.define_config(
    "experiments/configs/theory.py", "How much of it: FILE.py:SIZE."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the results.")
_FAMILY = flags.DEFINE_string(
    "family", None, "CSV table of a family of functions; solve only that."
)


def main() -> None:
  """Solves one family, or runs all parts and prints the learned accuracies."""
  if _FAMILY.value:
    from experiments.theory import queries

    print(queries.solve(_FAMILY.value))
    return
  if not _WORKDIR.value:
    raise UserError("give --workdir=DIR, or --family=FILE.csv")
  from experiments.theory import run
  from weightspace.progress import Progress

  results, index = run.run(
      _WORKDIR.value, _CONFIG.value.to_dict(), Progress()
  )
  for arm in results["learning"]["arms"]:
    print(
        f"{arm['arm']}, d = {arm['depth']}, M = {arm['parallel']}: accuracy"
        f" {arm['accuracy']['value']:.3f}, predicted"
        f" {arm['predicted']['accuracy']:.3f}"
    )
  print(f"{sum(results['seconds'].values()):.0f} s in all. Open {index}")


if __name__ == "__main__":
  launch.run(main)
