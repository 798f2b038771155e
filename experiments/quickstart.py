"""The main job in five minutes on two cores; no data set to fetch.

    python -m experiments.quickstart --workdir=/tmp/weightspace

Trains a zoo of LSTMs on formal languages, learns codes of their weights by
emulation, predicts from the codes what each network does, and writes
WORKDIR/report/index.html and WORKDIR/results.json. Stopped and run again, it
resumes; run twice with one seed, it gives the same numbers. It is a study of
one zoo and one seed: `experiments.reproduce` runs larger ones.
"""

from absl import flags

from weightspace import launch

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of everything that is random.", 0, 2**32 - 1
)
_SIZE = flags.DEFINE_enum(
    "size", "full", ["full", "tiny"],
    "full: about 5 minutes on 2 cores; tiny: one or two, to see that it works.",
)  # fmt: skip


def run(folder, size: str, seed: int, progress):
  """Zoo, encoders, heads, report.

  Args:
    folder: for all of it.
    size: "full" or "tiny".
    seed: of everything that is random.
    progress: a `weightspace.progress.Progress`.

  Returns:
    The results and the path of the page.
  """
  import pathlib

  from experiments.configs import quickstart
  from experiments.study import pipeline
  from weightspace.io import workdir
  from weightspace.report import study_page, style

  style.require_matplotlib()  # rather now than at the end
  config = quickstart.get_config(size, seed).to_dict()
  folder = workdir.claim(pathlib.Path(folder), config)
  results = pipeline.run(
      config,
      folder,
      zoos={},
      stages=["*"],
      workers=0,
      command=f"python -m experiments.quickstart --size={size} --seed={seed}",
      progress=progress,
  )
  return results, study_page.write(results, folder / "report")


def main() -> None:
  """Runs it and prints the headline numbers."""
  from experiments.study import headline
  from weightspace.progress import Progress

  results, index = run(_WORKDIR.value, _SIZE.value, _SEED.value, Progress())
  (family,) = results["zoos"]
  for name, numbers in headline.summary(results, family).items():
    print(name)
    for title, value in numbers.items():
      print(f"  {title}: {value}")
  headline = ", ".join(
      f"{key} {value if isinstance(value, str) else round(value, 3)}"
      for key, value in results["headline"].items()
      if value is not None
  )
  print(f"headline: {headline}")
  print(f"{sum(results['seconds'].values()):.0f} s in all. Open {index}")


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
