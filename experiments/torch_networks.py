"""Does an encoder tell what networks do that plain PyTorch trained?

    python -m experiments.torch_networks --encoder=formal_languages

Trains LSTMs by PyTorch alone, each with a seed of its own and on one of the
formal languages that are most unlike those which the encoder was trained on,
lets the encoder examine them, and prints one line of JSON: for how many the
language was right, and how far the predicted accuracy was from that of strings
sampled by PyTorch. With --write, the encoder's folder and its card keep that
line. Needs the extra `torch`.
"""

from absl import flags

from weightspace import launch

_ENCODER = flags.DEFINE_string(
    "encoder", "formal_languages", "Folder of an encoder, or a shipped one."
)
_NETWORKS = flags.DEFINE_integer("networks", 50, "LSTMs to train.", 1)
_STEPS = flags.DEFINE_integer("steps", 1000, "Of training each.", 1)
_HIDDEN = flags.DEFINE_integer("hidden", 32, "Units of each of two layers.", 1)
_SEED = flags.DEFINE_integer("seed", 1000, "Of the first; others follow.", 0)
_WRITE = flags.DEFINE_bool("write", False, "Keep the result with the encoder.")
NOVEL = 25  # of 216 languages: surely among those that were held out
LENGTH = 42  # symbols of a string with BOS and padding
BOS, EOS = 4, 5


def languages(encoder):
  """The most novel languages of the encoder's zoo, [NOVEL, 3]."""
  import jax
  import numpy as np

  from weightspace import tasks

  family = tasks.make(encoder.zoo.family, encoder.zoo.family_config)
  known = encoder.reference.tasks.astype(np.int32)
  novelty = np.asarray(jax.vmap(family.novelty)(known))
  return known[np.argsort(-novelty)[:NOVEL]], family


def strings(shifts, numbers):
  """Strings of a language as tokens, [n, LENGTH]; `numbers` of a's, [n]."""
  import numpy as np

  found = np.full((len(numbers), LENGTH), EOS)
  for row, n in zip(found, numbers):
    counts = [n, *(n + m for m in shifts)]
    letters = np.repeat(np.arange(4), counts)
    row[: len(letters) + 1] = [BOS, *letters]
  return found


def train(shifts, seed):
  """An LSTM with a read-out, trained on a language; and its accuracy."""
  import numpy as np
  import torch

  torch.manual_seed(seed)
  draws = np.random.default_rng(seed)
  low = max(0, -min(shifts))
  high = min(10, (LENGTH - 2 - sum(shifts)) // 4 + 1)
  model = torch.nn.ModuleDict({
      "lstm": torch.nn.LSTM(6, _HIDDEN.value, num_layers=2, batch_first=True),
      "readout": torch.nn.Linear(_HIDDEN.value, 6),
  })
  optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=1e-4)
  schedule = torch.optim.lr_scheduler.LinearLR(
      optimizer, 1.0, 0.3, total_iters=_STEPS.value
  )
  eye = torch.eye(6)
  for _ in range(_STEPS.value):
    batch = torch.as_tensor(strings(shifts, draws.integers(low, high, 32)))
    logits = model["readout"](model["lstm"](eye[batch[:, :-1]])[0])
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch[:, 1:].flatten()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
  return model, _sample(model, 1000)


def _sample(model, count):
  """Strings that the network generates, [count, LENGTH]."""
  import torch

  eye, state = torch.eye(6), None
  token, found = torch.full((count,), BOS), []
  with torch.no_grad():
    for _ in range(LENGTH):
      found.append(token)
      hidden, state = model["lstm"](eye[token][:, None], state)
      answer = model["readout"](hidden[:, 0]).softmax(dim=-1)
      token = torch.multinomial(answer, 1)[:, 0]
  return torch.stack(found, dim=1).numpy()


def main() -> None:
  """Trains, examines, prints."""
  import dataclasses
  import json

  import numpy as np

  from experiments import model_card
  from weightspace import pretrained
  from weightspace.interop import torch as from_torch
  from weightspace.tasks import formal_language

  encoder = pretrained.load_encoder(_ENCODER.value)
  chosen, family = languages(encoder)
  right, sure, errors = [], [], []
  for i in range(_NETWORKS.value):
    shifts = chosen[i % len(chosen)]
    model, samples = train(shifts.tolist(), _SEED.value + i)
    network = from_torch.load(model)
    found = encoder.examine(network.weights, network.rnn)
    actual = float(np.mean(formal_language.is_member(shifts, samples)))
    (told,) = (p.value[0] for p in found.predictions if p.name == "accuracy")
    right.append(found.task == family.describe(shifts))
    sure.append(found.task_probability)
    errors.append(abs(float(told) - actual))
    print(
        f"{i + 1}: {family.describe(shifts)}, accuracy {actual:.3f};"
        f" told {found.task} ({sure[-1]:.1%} sure), {told:.3f}",
        flush=True,
    )
  line = {
      "networks": len(right),
      "languages": min(len(chosen), len(right)),
      "task_right": float(np.mean(right)),
      "sure": float(np.mean(sure)),
      "accuracy_error": float(np.mean(errors)),
      "command": f"python -m experiments.torch_networks"
      f" --networks={_NETWORKS.value} --steps={_STEPS.value}"
      f" --seed={_SEED.value}",
  }
  print(json.dumps(line))
  if _WRITE.value:
    about = {**encoder.about, "torch_networks": line}
    encoder = dataclasses.replace(encoder, about=about)
    _replace(_ENCODER.value, encoder, model_card)


def _replace(name, encoder, model_card):
  """Writes the encoder where it came from."""
  import shutil
  from pathlib import Path

  from weightspace import pretrained

  folder = Path(name)
  if name in pretrained.names():
    folder = pretrained.MODELS / name
  scratch = folder.with_name(f"{folder.name}.new")
  card = model_card.write(encoder, folder.name)
  pretrained.save_encoder(scratch, encoder, card=card)
  shutil.rmtree(folder)
  scratch.rename(folder)


if __name__ == "__main__":
  launch.run(main)
