"""Jobs of a study that are done stay done when heads get a new field."""

import json

import pytest

from experiments.configs import reproduce
from experiments.study import pipeline


def test_a_field_that_is_new_and_at_its_default_changes_no_job(tmp_path):
  config = json.loads(json.dumps(reproduce.get_config("smoke").to_dict()))
  folder = tmp_path / "heads/formal_language/flat"
  folder.mkdir(parents=True)
  (folder / pipeline.PART).write_text("{}")
  relevant = pipeline._relevant(config, "heads", "formal_language", "flat")
  assert "weight_decay" not in relevant["heads"]["fields"]
  (folder / pipeline.CONFIG).write_text(json.dumps(relevant))
  fields = config["heads"]["fields"]
  assert pipeline._is_done(folder, config)
  fields["weight_decay"] = 0.01
  assert pipeline._is_done(folder, config)
  fields["weight_decay"] = 0.02
  with pytest.raises(ValueError, match=r"another config \(heads\)"):
    pipeline._is_done(folder, config)
