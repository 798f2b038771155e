"""Trains an encoder of a zoo's networks.

    python -m experiments.pretrain --zoo=DIR --workdir=DIR \\
        --config=experiments/configs/emulation.py:interactive,small

The config file is that of an objective: emulation.py, contrastive.py or
supervised.py. Any field can be set: --config.encoder.length=42. Killed and run
again, it goes on. The folder then holds config.json, metrics.jsonl and the
checkpoints that experiments.predict reads.

Several processes, of an srun or a pod, train one encoder: each batch is spread
over the devices of all. Of --workdir only process 0 needs to know.
"""

from absl import flags

from weightspace import launch

_CONFIG = launch.define_config(
    None, "What to train: OBJECTIVE.py:ENCODER,SIZE."
)
_ZOO = flags.DEFINE_string("zoo", None, "Folder of the zoo to learn from.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of this run.")
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write metrics for TensorBoard too."
)
_MEMORY = flags.DEFINE_float(
    "memory_gib", None, "What the networks to train on may take up in memory;"
    " if they take more, batches are read from disk. By default a quarter of"
    " what there is. The outcome is the same.", lower_bound=0.0,
)  # fmt: skip
_PARAMS = flags.DEFINE_enum(
    "params", "replicated", ("replicated", "sharded"),
    "Whether each device has all params, or devices share them out (FSDP).",
)  # fmt: skip
_DISTRIBUTED = launch.define_distributed()


def main() -> None:
  """Launches `weightspace.training.pretrain.pretrain`."""
  import jax

  from weightspace import parallel, zoo
  from weightspace.progress import Progress
  from weightspace.training.pretrain import pretrain

  first = jax.process_index() == 0
  pretrained = pretrain(
      zoo.open(_ZOO.value),
      _CONFIG.value.to_dict(),
      _WORKDIR.value,
      progress=Progress() if first else Progress.silent(),
      mesh=parallel.mesh(parallel.DATA, jax.devices()),
      sharded=_PARAMS.value == "sharded",
      tensorboard=_TENSORBOARD.value,
      memory=None if _MEMORY.value is None else int(_MEMORY.value * 2**30),
  )
  if not first:
    return
  losses = [h for h in pretrained.history if "validation/loss" in h]
  best = min(h["validation/loss"] for h in losses)
  print(f"best validation loss {best:.4f} at step {pretrained.step}")


if __name__ == "__main__":
  launch.run(
      main,
      required=("config", "zoo", "workdir"),
      distributed=_DISTRIBUTED,
  )
