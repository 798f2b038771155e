"""Makes a folder of a trained encoder that can be used without its zoo.

    python -m experiments.export_encoder --zoo=DIR --encoder=RUN --out=DIR \\
        --config=experiments/configs/prediction.py

RUN is the --workdir of experiments.pretrain. An ensemble of heads
of each property is trained on its frozen codes. The folder holds them, a table
of the zoo's networks and a model card; `python -m
experiments.embed` and `weightspace.load_encoder` read it.
"""

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    "experiments/configs/prediction.py", "How heads are trained."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo.")
_ENCODER = flags.DEFINE_string("encoder", None, "Folder of the encoder's run.")
_OUT = flags.DEFINE_string("out", None, "Folder to make.")
_MEMBERS = flags.DEFINE_integer("members", 5, "Heads of each property.", 1)
_ROWS = flags.DEFINE_integer("rows", 2000, "Networks in the table.", 1)
_LIMIT = flags.DEFINE_float(
    "megabytes", 5.0, "The folder may have at most.", 0.0
)


def main() -> None:
  """Launches `weightspace.evaluation.export.export`."""
  import dataclasses
  from pathlib import Path

  from experiments import results
  from weightspace import pretrained, zoo
  from weightspace.evaluation import prediction
  from weightspace.evaluation.export import export
  from weightspace.io import files
  from weightspace.pretrained import card
  from weightspace.progress import Progress
  from weightspace.training import pretrain

  out = Path(_OUT.value)
  files.check_new_folder(out)  # before an hour is spent
  opened = zoo.open(_ZOO.value)
  run, trained_with = pretrain.load(opened, _ENCODER.value)
  encoder = export(
      opened,
      run,
      trained_with,
      _CONFIG.value.to_dict(),
      members=_MEMBERS.value,
      rows=_ROWS.value,
      about={
          "commit": results.commit(),
          "software": results.software(),
      },
      progress=Progress(),
  )
  pretrained.save_encoder(
      out,
      encoder,
      card=card.write(
          encoder,
          out.resolve().name,
          dataclasses.asdict(prediction.Config()),
      ),
      most=int(_LIMIT.value * 1e6),
  )
  size = sum(file.stat().st_size for file in out.iterdir())
  print(f"{out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
  launch.run(main, required=("zoo", "encoder", "out"))
