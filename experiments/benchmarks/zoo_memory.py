"""Memory and time to open and read a zoo of a million snapshots.

    python -m experiments.benchmarks.zoo_memory [--snapshots=1000000]

Writes a zoo of noise of small networks (needs some GiB of disk; --keep=DIR
keeps it), then opens it, reads its columns, a thousand batches of random rows
and all weights once, and trains on it by batches that are streamed, each in a
process of its own. The last line is JSON:

  snapshots, shards, gib  how large it is
  open_seconds            `zoo.open`, without checksums
  columns_seconds         all columns
  batch_ms                64 random rows, their weights and a rollout each
  scan_seconds            all weights, in order
  write_mib, open_mib, read_mib, train_mib  peak resident memory of the process
                          that wrote, opened, read, or trained; an interpreter
                          that has imported what it needs has `idle_mib`
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import flags

from weightspace import launch

_SNAPSHOTS = flags.DEFINE_integer(
    "snapshots", 1_000_000, "Rows, about.", lower_bound=1000
)
_SHARD = flags.DEFINE_integer("shard_size", 100, "Networks in a shard.")
_KEEP = flags.DEFINE_string("keep", None, "Where to leave the zoo.")
_STEP = flags.DEFINE_string("step", None, "One of _STEPS, in this process.")
_STEPS_OF_A_NETWORK = tuple(range(0, 1000, 100))


def main() -> None:
  """Measures and prints."""
  if _STEP.value:
    print(json.dumps(_STEPS[_STEP.value](pathlib.Path(_KEEP.value))))
    return
  with tempfile.TemporaryDirectory() as scratch:
    path = pathlib.Path(_KEEP.value or scratch) / "zoo"
    results = {}
    for step in _STEPS:
      results |= _in_a_process(step, path)
      print(f"{step}: {results}", file=sys.stderr, flush=True)
  print(json.dumps({k: round(v, 3) for k, v in results.items()}))


def _in_a_process(step, path):
  done = subprocess.run(
      [sys.executable, "-m", "experiments.benchmarks.zoo_memory",
       f"--step={step}", f"--keep={path}", f"--snapshots={_SNAPSHOTS.value}",
       f"--shard_size={_SHARD.value}"],
      check=True, stdout=subprocess.PIPE, text=True,
  )  # fmt: skip
  return json.loads(done.stdout.splitlines()[-1])


def _peak():
  """Peak resident memory of this process, in MiB."""
  import resource

  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _spec():
  from weightspace import tasks, zoo
  from weightspace.rnn import RNNSpec

  task = {"length": 13, "max_n": 3, "shift_min": -2, "shift_max": 1}
  family = tasks.make("formal_language", task)
  return zoo.ZooSpec(
      family="formal_language",
      family_config=task,
      rnns=(RNNSpec("gru", (8,), 6, 6),),
      trainer={},
      num_networks=_SNAPSHOTS.value // len(_STEPS_OF_A_NETWORK),
      shard_size=_SHARD.value,
      snapshot_steps=_STEPS_OF_A_NETWORK,
      rollouts=2,
      seed=0,
      task_names=family.spec.task_names,
      metric_names=family.spec.metric_names,
  )


def _write(path):
  import numpy as np

  from weightspace import tasks, zoo
  from weightspace.rnn import make_rnn

  spec = _spec()
  size = make_rnn(spec.rnns[0]).size
  tokens = tasks.make(spec.family, spec.family_config).spec.length
  steps = np.array(spec.snapshot_steps, np.int32)
  zoo.create(path, spec)
  for index in zoo.missing_shards(path):
    generator = np.random.default_rng(index)
    networks = np.array(zoo.shard_networks(spec, index), np.int32)
    rows = zoo.shard_rows(spec, index)
    task = generator.integers(-2, 2, (len(networks), len(spec.task_names)))
    zoo.write_shard(path, index, {
        "weights": generator.standard_normal((rows, size), np.float32),
        "sequences": generator.integers(
            0, 4, (rows, spec.rollouts, tokens + 1)
        ).astype(np.int8),
        "log_probs": np.full(
            (rows, spec.rollouts, tokens, 6), -1.8, np.float16
        ),
        "net_id": np.repeat(networks, len(steps)),
        "step": np.tile(steps, len(networks)),
        "task": np.repeat(task.astype(np.int32), len(steps), axis=0),
        "finite": np.ones(rows, bool),
        **{
            name: generator.random(rows, np.float32)
            for name in spec.metric_names
        },
    })
  zoo.finalize(path)
  total = sum(file.stat().st_size for file in path.rglob("*.npy"))
  return {
      "snapshots": spec.num_networks * len(steps),
      "shards": zoo.num_shards(spec),
      "gib": total / 2**30,
      "write_mib": _peak(),
  }


def _idle(path):
  import weightspace.training.pretrain  # noqa: F401

  return {"idle_mib": _peak()}


def _opened(path):
  from weightspace import zoo

  clock = time.perf_counter()
  opened = zoo.open(path)
  return opened, {"open_seconds": time.perf_counter() - clock}


def _open(path):
  return {**_opened(path)[1], "open_mib": _peak()}


def _read(path):
  import numpy as np

  opened, results = _opened(path)
  clock = time.perf_counter()
  dict(opened.columns)
  results["columns_seconds"] = time.perf_counter() - clock
  generator = np.random.default_rng(0)
  clock = time.perf_counter()
  for _ in range(1000):
    rows = generator.integers(0, len(opened), 64)
    opened.vectors(rows)
    opened.rollouts(rows, generator.integers(0, opened.spec.rollouts, (64, 1)))
  results["batch_ms"] = time.perf_counter() - clock
  clock = time.perf_counter()
  for start in range(0, len(opened), 8192):
    opened.vectors(np.arange(start, min(start + 8192, len(opened))))
  results["scan_seconds"] = time.perf_counter() - clock
  return {**results, "read_mib": _peak()}


def _train(path):
  from weightspace.progress import Progress
  from weightspace.training.pretrain import pretrain

  config = {
      "encoder": {"name": "statistics", "hidden": 32, "layers": 1},
      "emulator": {"hidden": 32, "layers": 1},
      "optimizer": {},
      "emulation": {"steps": 400, "validate_every": 400,
                    "validation_sequences": 1},
  }  # fmt: skip
  with tempfile.TemporaryDirectory() as folder:
    opened, _ = _opened(path)
    pretrain(opened, config, folder, progress=Progress.silent(), memory=2**28)
  return {"train_mib": _peak()}


_STEPS = {
    "write": _write,
    "idle": _idle,
    "open": _open,
    "read": _read,
    "train": _train,
}


if __name__ == "__main__":
  launch.run(main)
