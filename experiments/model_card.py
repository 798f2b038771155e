"""A model card, Markdown, of nothing but what an encoder knows of itself."""

import dataclasses
import json
import shlex

from weightspace import properties
from weightspace.evaluation import prediction
from weightspace.pretrained import PretrainedEncoder
from weightspace.pretrained.encoder import show


def write(encoder: PretrainedEncoder, name: str) -> str:
  """The card of an encoder that `export` made.

  Args:
    encoder: its `about` holds what was measured, "commit" and "software".
    name: what it is called.
  """
  zoo, about = encoder.zoo, encoder.about
  kind = encoder.config["encoder"]["name"]
  shapes = "; ".join(map(show, zoo.rnns))
  size = zoo.rnns[0]
  final = about["final_accuracy"]
  splits = about["splits"]
  return f"""# {name}

The encoder `{kind}`, which turns the weights of a recurrent network into a
code of {_code(encoder)} numbers that tells what the network does. It was \
trained by emulation,
without labels ([Herrmann, Faccio, Schmidhuber,
2024](https://arxiv.org/abs/2403.11998)).

```python
import weightspace
from weightspace.interop import torch as from_torch

rnn, weights = from_torch.load("lstm.safetensors")
found = weightspace.load_encoder("{name}").examine(weights, rnn)
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
| snapshots | {len(zoo.snapshot_steps)} each, after steps \
{", ".join(map(str, zoo.snapshot_steps))} |
| accuracy of fully trained ones | median {_number(final["median"])}, \
quartiles {_number(final["low"])}, {_number(final["high"])} |
| tasks to train on | {splits["train"]["tasks"]} \
({splits["train"]["rows"]} rows) |
| tasks to validate on | {splits["validation"]["tasks"]} \
({splits["validation"]["rows"]} rows) |
| tasks held out, the most novel | {splits["ood"]["tasks"]} \
({splits["ood"]["rows"]} rows) |
| seed | {zoo.seed} |

## How good it is

95 % intervals over tasks. No validation or held-out task was trained on.

| emulation, {about["divergence"].replace("_", " ")} | |
|---|---|
| validation tasks | {_estimate(about["emulation"]["validation"])} |
| held-out tasks | {_estimate(about["emulation"]["ood"])} |

{_properties(encoder)}
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
{_command(encoder)}
```

at commit {about["commit"] or "unknown"}, with
{", ".join(f"{k} {v}" for k, v in about["software"].items())}.
Of {about["trained"]["steps"]} steps of pretraining, validation chose step \
{about["trained"]["best_step"]}.
`encoder.json` holds the whole configuration of zoo and training.
"""


def _checked(encoder):
  """What networks trained elsewhere showed, if that was tried."""
  found = encoder.about.get("torch_networks")
  if found is None:
    return ""
  return f"""
On {found["networks"]} LSTMs that plain PyTorch trained on held-out tasks, of \
seeds of their
own, the task was right for {found["task_right"]:.1%}, and the mean error of \
accuracy {found["accuracy_error"]:.3f}
(`{found["command"]}`).
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
    headline = properties.load(ensemble.property).headline
    metrics = ensemble.metrics
    names = [headline, *(n for n in metrics["test"] if n != headline)]
    lines += [
        f"| {ensemble.property} | {name.replace('_', ' ')} |"
        f" {_estimate(metrics['validation'][name])} |"
        f" {_estimate(metrics['test'][name])} |"
        f" {_estimate(metrics.get('test, final', {}).get(name))} |"
        for name in names
    ]
  return "\n".join(lines) + "\n"


def _command(encoder):
  """What makes it again; the names of folders are nobody's business."""
  found = [
      "python -m experiments.export_encoder --zoo=ZOO --encoder=RUN --out=OUT",
      f"--members={encoder.about['members']} --rows={_rows(encoder)}",
  ]
  default = json.loads(json.dumps(dataclasses.asdict(prediction.Config())))
  for name, value in encoder.about["prediction"].items():
    if json.loads(json.dumps(value)) != default[name]:
      value = tuple(value) if isinstance(value, list | tuple) else value
      found.append(f"--config.{name}={shlex.quote(str(value))}")
  return " \\\n    ".join(found)


def _estimate(found):
  if found is None:
    return "-"
  return "{} ({}, {})".format(
      *(_number(found[k]) for k in ("value", "low", "high"))
  )


def _number(value):
  return "undefined" if value is None else f"{value:.3g}"
