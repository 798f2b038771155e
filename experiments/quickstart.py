"""The main job in five minutes on two cores; no data set to fetch.

    python -m experiments.quickstart --workdir=/tmp/weightspace

Trains a zoo of LSTMs on formal languages, learns codes of their weights by
emulation, predicts from the codes what each network does, and writes
WORKDIR/report/index.html and WORKDIR/results.json. Killed and run again, it
goes on where it was; run twice with one seed, it gives the same numbers.
"""

from absl import flags

from weightspace import launch

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all of it.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of everything that is random.", lower_bound=0
)
_SIZE = flags.DEFINE_enum(
    "size", "full", ["full", "tiny"],
    "full: about 5 minutes on 2 cores; tiny: under one, to see that it works.",
)  # fmt: skip

NOTE = (
    "This is a small study: one-layer networks of 16 units trained for 500"
    " steps, and encoders trained for 1500 steps of 64 networks. The"
    " paper's zoo has 1000 two-layer networks of 32 units, trained for 20,000"
    " steps with nine snapshots each, and its encoders see 6.4 million"
    " networks in 100,000 steps with cores and emulators of 256 units. It"
    " counts the padding after the end of a string, which is easy to emulate;"
    " here only what comes before counts. To go there: python -m"
    " zoo_gen.generate --config=zoo_gen/configs/formal_languages.py:paper,"
    " then python -m experiments.pretrain"
    " --config=experiments/configs/emulation.py:interactive,paper; both are"
    " meant for an accelerator."
)


def configs(size: str, seed: int):
  """Configs of the zoo, of each encoder's emulation, and of the heads."""
  from experiments.configs import emulation, prediction
  from zoo_gen.configs import formal_languages

  tiny = size == "tiny"
  zoo_config = formal_languages.get_config("tiny" if tiny else "quickstart")
  zoo_config.seed = seed
  encoders = {}
  for name in ("constant", "truth", "statistics", "listening"):
    config = emulation.get_config(f"{name},{'tiny' if tiny else 'quickstart'}")
    config.emulation.seed = config.emulation.split_seed = seed
    encoders[name] = config.to_dict()
  heads = prediction.get_config()
  heads.seed = seed
  if tiny:
    heads.steps, heads.resamples = 200, 50
  return zoo_config.to_dict(), encoders, heads.to_dict()


def run(folder, size: str, seed: int, progress):
  """Zoo, encoders, heads, report.

  Args:
    folder: for all of it.
    size: "full" or "tiny".
    seed: of everything that is random.
    progress: a `weightspace.training.progress.Progress`.

  Returns:
    The results and the path of the page.
  """
  import time

  from experiments import results
  from weightspace import parallel, zoo
  from weightspace.report import page, style
  from weightspace.training import pretrain, workdir
  from zoo_gen import shards

  style.require_matplotlib()  # rather now than at the end
  commit = results.commit()
  zoo_config, encoders, heads = configs(size, seed)
  folder = workdir.claim(
      folder, {"zoo": zoo_config, "encoders": encoders, "prediction": heads}
  )
  seconds = {}
  clock = time.monotonic()

  def lap(stage):
    nonlocal clock
    seconds[stage] = round(time.monotonic() - clock, 1)
    clock = time.monotonic()

  shards.generate(folder / "zoo", shards.plan(zoo_config), progress=progress)
  source = zoo.open(folder / "zoo")
  lap("train the zoo")
  mesh = parallel.mesh(parallel.DATA)
  trained = {}
  for name, config in encoders.items():
    trained[name] = (
        pretrain.pretrain(
            source, config, folder / name, progress=progress, mesh=mesh
        ),
        config,
    )
    lap(f"pretrain {name}")
  study = results.Study(source, trained, heads, mesh)
  found = study.results(progress=progress)
  lap("evaluate")
  found = {
      "title": "What recurrent networks do, read from their weights",
      "command": f"python -m experiments.quickstart --seed={seed}",
      "seed": seed,
      "note": NOTE,
      "seconds": seconds,
      **found,
      "commit": commit,
  }
  results.write(folder / "results.json", found)
  return found, page.write(found, folder / "report")


def main() -> None:
  """Runs it and prints the headline numbers."""
  from experiments import headline
  from weightspace.training.progress import Progress

  found, index = run(_WORKDIR.value, _SIZE.value, _SEED.value, Progress())
  for name, numbers in headline.summary(found).items():
    print(name)
    for title, value in numbers.items():
      print(f"  {title}: {value}")
  print(f"headline: {found['headline']}")
  print(f"{sum(found['seconds'].values()):.0f} s in all. Open {index}")


if __name__ == "__main__":
  launch.run(main, required=("workdir",))
