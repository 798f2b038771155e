"""A model card in Markdown, made from a pretrained encoder alone."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from weightspace import properties
from weightspace.pretrained.encoder import PretrainedEncoder, describe_shapes

_UNDEFINED = "undefined"


def write(
    encoder: PretrainedEncoder, name: str, defaults: Mapping[str, Any]
) -> str:
  """The card of an encoder that `weightspace.evaluation.export` made.

  Args:
    encoder: its `about` holds the measurements, "commit" and "software".
    name: of the encoder.
    defaults: of the config of heads; the card's command states other values.
  """
  zoo, about = encoder.zoo, encoder.about
  kind = encoder.config["encoder"]["name"]
  shapes = describe_shapes(*zoo.rnns)
  size = zoo.rnns[0]
  splits = about["splits"]
  return f"""# {name}

The encoder `{kind}`, which turns the weights of a recurrent network into a
code of {_code(encoder)} numbers that tells what the network does. It was \
{_trained(encoder)} ([Herrmann, Faccio, Schmidhuber,
2024](https://arxiv.org/abs/2403.11998)).

```python
import weightspace
from weightspace.interop import torch as from_torch

rnn, weights = from_torch.load("lstm.safetensors")
examination = weightspace.load_encoder("{name}").examine(weights, rnn)
```

## What it takes

Networks with {size.inputs} inputs and {size.outputs} outputs, which read
{_reads(encoder.tasks)}.
{_scope(encoder)}

## Data

| | |
|---|---|
| task family | {zoo.family} |
| networks | {zoo.num_networks}: {shapes} |
| snapshots | {_snapshots(zoo)} |
| accuracy of fully trained ones | {_accuracy(about["final_accuracy"])} |
| tasks to train on | {splits["train"]["tasks"]} \
({splits["train"]["rows"]} rows) |
| tasks to validate on | {splits["validation"]["tasks"]} \
({splits["validation"]["rows"]} rows) |
| tasks held out{_novel(encoder)} | {splits["ood"]["tasks"]} \
({splits["ood"]["rows"]} rows) |
| seed | {zoo.seed} |

## How good it is

95 % intervals over tasks. No validation or held-out task was trained on.

{_emulation(about)}{_properties(encoder)}
Validation tasks chose the form and the step of each head and how wide spreads
are, so what holds for others is in the last columns: half of the held-out
tasks, looked at once. Snapshots from before training have no task to tell.
{_checked(encoder)}
## Limits

- It knows the tasks of one family. A code of a network that does something
  else is a code of nothing; `farther_than` near 1 is a hint, not a proof.
- Spreads tell how heads disagree. They are right on average over tasks like
  these, not for each network.
- {_shapes_limit(encoder)}
- Nearest networks are among {_rows(encoder)} rows of the zoo, no others.

## How it was made

```sh
{_command(encoder, defaults)}
```

at commit {about["commit"] or "unknown"}, with
{", ".join(f"{k} {v}" for k, v in about["software"].items())}.
Of {about["trained"]["steps"]} steps of pretraining, validation chose step \
{about["trained"]["best_step"]}.
`encoder.json` holds the whole configuration of zoo and training.
"""


def _snapshots(zoo):
  steps = ", ".join(map(str, zoo.snapshot_steps))
  if zoo.layout is not None:
    rows = sum(shard.rows for shard in zoo.layout)
    return f"{rows} in all, after some of the steps {steps}"
  return f"{len(zoo.snapshot_steps)} each, after steps {steps}"


def _accuracy(final):
  if final is None:
    return "not known"
  low, high = _number(final["low"]), _number(final["high"])
  return f"median {_number(final['median'])}, quartiles {low}, {high}"


def _novel(encoder):
  random = encoder.zoo.family_config.get("held_out") == "random"
  return ", at random" if random else ", the most novel"


def _checked(encoder):
  """The result on networks that PyTorch trained, if there is one."""
  result = encoder.about.get("torch_networks")
  if result is None:
    return ""
  return f"""
On {result["networks"]} LSTMs that plain PyTorch trained on held-out tasks, of \
seeds of their
own, the task was right for {result["task_right"]:.1%}, and the mean error of \
accuracy {result["accuracy_error"]:.3f}
(`{result["command"]}`).
"""


def _trained(encoder):
  """For which objective, as a part of a sentence."""
  objective = encoder.about.get("objective", "emulation")
  if objective == "emulation":
    return "trained by emulation,\nwithout labels"
  return (
      f"trained for the\nobjective `{objective}`, not by emulation as in the"
      " paper"
  )


def _emulation(about):
  """How well its emulator predicts outputs, if it was trained with one."""
  if "emulation" not in about:
    return ""
  return f"""| emulation, {about["divergence"].replace("_", " ")} | |
|---|---|
| validation tasks | {_estimate(about["emulation"]["validation"])} |
| held-out tasks | {_estimate(about["emulation"]["ood"])} |

"""


def _code(encoder):
  return encoder.config["encoder"]["code"]


def _reads(tasks):
  if tasks.symbols:
    return f"symbols, one-hot, in this order: {' '.join(tasks.symbols)}"
  return "one-hot tokens" if tasks.kind == "token" else "real numbers"


def _interrogates(encoder):
  return encoder.encoder_of(encoder.zoo.rnns[0]).transcript is not None


def _scope(encoder):
  if _interrogates(encoder):
    return (
        "It runs them and never looks at their weights, so it encodes\n"
        "networks of any cell and size."
    )
  return "It reads weights, and only those of networks of the shapes below."


def _shapes_limit(encoder):
  if _interrogates(encoder):
    return (
        "Networks of other cells and sizes than those above are outside of\n"
        "  what it was trained on, and how good it is there was not measured."
    )
  return "Networks of other cells and sizes are refused."


def _rows(encoder):
  return len(encoder.reference.codes) if encoder.reference else 0


def _properties(encoder):
  lines = [
      "| property | metric | validation tasks | held-out tasks | held-out"
      " tasks, fully trained |",
      "|---|---|---|---|---|",
  ]
  for ensemble in encoder.ensembles:
    metrics = ensemble.metrics
    headline = properties.headline(ensemble.property, metrics["test"])
    names = [headline, *(n for n in metrics["test"] if n != headline)]
    lines += [
        f"| {ensemble.property} | {name.replace('_', ' ')} |"
        f" {_estimate(metrics['validation'][name])} |"
        f" {_estimate(metrics['test'][name])} |"
        f" {_estimate(metrics.get('test, final', {}).get(name))} |"
        for name in names
    ]
  for ensemble in encoder.ensembles:
    name = ensemble.property
    _, classes = properties.labels(name, encoder.scope)
    if classes and isinstance(classes[0], str):
      lines.append(f"\n`{name}` is one of {', '.join(classes)}.")
    for part, count in encoder.about.get("unknown", {}).get(name, {}).items():
      lines.append(
          f"\n`{name}` is not known of {count} {part.replace('_', ' ')} rows,"
          " which are left out."
      )
  text = "\n".join(lines) + "\n"
  if _UNDEFINED in text:
    text += "\nAn R² is undefined where all networks have the same value.\n"
  return text


def _command(encoder, defaults):
  """The command that makes the encoder, without the user's folder names."""
  parts = [
      "python -m experiments.export_encoder --zoo=ZOO --encoder=RUN --out=OUT",
      f"--members={encoder.about['members']} --rows={_rows(encoder)}",
  ]
  defaults = json.loads(json.dumps(dict(defaults)))
  for name, value in encoder.about["prediction"].items():
    if json.loads(json.dumps(value)) != defaults[name]:
      if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
      parts.append(f"--config.{name}={shlex.quote(str(value))}")
  return " \\\n    ".join(parts)


def _estimate(estimate):
  if estimate is None:
    return "-"
  if estimate["value"] is None:
    return _UNDEFINED
  return "{} ({}, {})".format(
      *(_number(estimate[k]) for k in ("value", "low", "high"))
  )


def _number(value):
  return _UNDEFINED if value is None else f"{value:.3g}"
