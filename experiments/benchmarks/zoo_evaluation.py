"""What evaluating and writing take of a run of zoo generation.

    python -m experiments.benchmarks.zoo_evaluation [--size=small] \\
        [--networks=32]

Makes a zoo of formal languages in a folder of its own, as `zoo_gen.generate`
does, and takes the time of training steps apart. What is left is snapshots
(strings written, accuracy, loss, rollouts), checkpoints and shards. The last
line is JSON:

  seconds           of the run, without compiling
  training_seconds  of training steps
  share             of the run that is left
"""

import json
import tempfile
import time

from absl import flags

from weightspace import launch

_SIZE = flags.DEFINE_string("size", "small", "Of zoo_gen/configs.")
_NETWORKS = flags.DEFINE_integer("networks", 32, "How many to train.")


def main() -> None:
  """Measures and prints."""
  import jax

  from weightspace.progress import Progress
  from zoo_gen import shards
  from zoo_gen.configs import formal_languages

  compile_shard, training, started = shards._compile, [], []

  def compile_timed(*args):
    programs = compile_shard(*args)

    def segment(*args):
      start = time.perf_counter()
      state = jax.block_until_ready(programs.segment(*args))
      training.append(time.perf_counter() - start)
      return state

    started.append(time.perf_counter())
    return programs._replace(segment=segment)

  shards._compile = compile_timed
  config = formal_languages.get_config(_SIZE.value)
  config.networks = config.shard_size = _NETWORKS.value
  with tempfile.TemporaryDirectory() as folder:
    shards.generate(
        f"{folder}/zoo", shards.plan(config.to_dict()), progress=Progress()
    )
  seconds = time.perf_counter() - started[0]
  print(json.dumps({
      "seconds": round(seconds, 2),
      "training_seconds": round(sum(training), 2),
      "share": round(1 - sum(training) / seconds, 4),
  }))


if __name__ == "__main__":
  launch.run(main)
