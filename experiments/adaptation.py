"""What networks of bandits gain by learning while they live.

    python -m experiments.adaptation --zoo=DIR

Compares the final networks that read what paid with those that do not, which
were trained alike and are the baseline. Prints JSON: the reward of a pull and
the gain in per cent, on bandits never seen, of the own distributions and of
others; and the regret at the start and at the end of a life, with 95 %
intervals over networks. All networks have the same other distributions, whose
choice the intervals leave out.
"""

import json

from absl import flags

from weightspace import launch
from weightspace.errors import UserError

_ZOO = flags.DEFINE_string("zoo", None, "Folder of a zoo of bandits.")
_RESAMPLES = flags.DEFINE_integer(
    "resamples", 2000, "Of the bootstrap of each interval.", lower_bound=1
)

_LEAST = 5  # networks on either side


def main() -> None:
  """Prints the comparison."""
  from weightspace import zoo

  opened = zoo.open(_ZOO.value)
  if opened.spec.family != "bandit":
    raise UserError(
        f"--zoo={_ZOO.value} must be of bandits, but its family is"
        f" {opened.spec.family}"
    )
  print(json.dumps(compare(opened, _RESAMPLES.value)))


def compare(opened, resamples):
  """The comparison of a zoo's final networks, as JSON values."""
  import numpy as np

  from weightspace.evaluation import bootstrap

  finite = opened.columns["finite"]
  chosen = opened.final & finite
  columns = {name: a[chosen] for name, a in opened.columns.items()}
  reads = columns["task"][:, -1] == 1
  if min(np.sum(reads), np.sum(~reads)) < _LEAST:
    raise UserError(
        f"the zoo must have {_LEAST} networks that read rewards and {_LEAST}"
        f" that do not, got {np.sum(reads)} and {np.sum(~reads)}: make one with"
        " another --config.task.blind, or with more networks"
    )

  def estimate(statistic):
    value = bootstrap.interval(
        statistic, columns["net_id"][:, None], resamples=resamples
    )
    return [round(float(number), 4) for number in value]

  def mean(name, of):
    return lambda rows: np.mean(columns[name][rows][of[rows]])

  def gain(name):
    learns, baseline = mean(name, reads), mean(name, ~reads)
    return lambda rows: 100 * (learns(rows) / baseline(rows) - 1)

  result = {
      "networks": int(np.sum(reads)),
      "baselines": int(np.sum(~reads)),
      "diverged and left out": int(np.sum(opened.final & ~finite)),
  }
  rewards = ("reward", "reward_elsewhere")
  for name in (*rewards, "regret_early", "regret_late"):
    result[name] = estimate(mean(name, reads))
    result[f"{name}, baseline"] = estimate(mean(name, ~reads))
  for name in rewards:
    result[f"{name}, gain in per cent"] = estimate(gain(name))
  return result


if __name__ == "__main__":
  launch.run(main, required=("zoo",))
