"""Configs are parsed once; a new field at its default leaves old runs alone."""

import json

import pytest

from tests.training.test_fit import KillAt, Killed
from weightspace import zoo
from weightspace.io import workdir
from weightspace.progress import Progress
from weightspace.training import config as config_lib
from weightspace.training import members, supervised
from weightspace.training.pretrain import pretrain

pytestmark = pytest.mark.usefixtures("shared_setups")

CONFIG = {
    "encoder": {"name": "flat", "hidden": 8, "layers": 1, "code": 4},
    "emulator": {"cell": "gru", "hidden": 8, "layers": 1},
    "optimizer": {"learning_rate": 3e-3},
    "emulation": {"steps": 4, "batch": 6, "validate_every": 2,
                  "checkpoint_every": 2, "augment": "none"},
}  # fmt: skip


def test_what_is_written_is_parsed_to_the_same():
  config = config_lib.parse(CONFIG)
  full = json.loads(json.dumps(config.to_json()))
  assert config_lib.parse(full) == config
  assert full["emulation"]["split_seed"] == 0  # a default is written too
  assert config_lib.parse({"encoder": {"name": "truth"}}).encoder.to_json() == {
      "name": "truth"
  }
  config = {
      **CONFIG, "supervised": {"properties": ["accuracy"]},
  }  # fmt: skip
  parsed = supervised.parse(config)
  assert supervised.parse(json.loads(json.dumps(parsed.to_json()))) == parsed


@pytest.mark.parametrize(
    "part, message",
    [
        ({"encoder": {"name": "statistic"}}, "did you mean 'statistics'"),
        ({"encoder": {"name": "flat", "hiden": 1}}, "did you mean 'hidden'"),
        ({"optimizer": {"clips": 1.0}}, "optimizer has no field 'clips'"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_name(part, message):
  with pytest.raises(ValueError, match=message):
    config_lib.parse({**CONFIG, **part})


@pytest.mark.slow
def test_a_run_from_before_a_field_existed_is_resumed(tiny_zoo, tmp_path):
  zoo_, folder = zoo.open(tiny_zoo), tmp_path / "run"
  with pytest.raises(Killed):
    pretrain(zoo_, CONFIG, folder, progress=KillAt(3))
  file = folder / workdir.CONFIG
  stored = json.loads(file.read_text())
  del stored["emulation"]["split_seed"], stored["optimizer"]["clip"]
  del stored["encoder"]["code"]  # it is not at its default here
  file.write_text(json.dumps(stored))
  with pytest.raises(FileExistsError, match=r"encoder\.code is 16 there, 4"):
    pretrain(zoo_, CONFIG, folder, progress=Progress.silent())
  stored["encoder"]["code"] = 4
  file.write_text(json.dumps(stored))
  before = file.read_bytes()
  resumed = pretrain(zoo_, CONFIG, folder, progress=Progress.silent())
  assert [line["step"] for line in resumed.history] == [0, 2, 4]
  # Done: neither another step nor another config, by members too
  again = members.pretrain(zoo_, {folder: CONFIG}, progress=KillAt(1))
  assert again[0].step == resumed.step
  assert file.read_bytes() == before


def test_a_field_that_this_release_lacks_is_named(tiny_zoo, tmp_path):
  zoo_ = zoo.open(tiny_zoo)
  config = config_lib.parse(CONFIG)
  config_lib.claim(tmp_path / "run", zoo_, config)
  file = tmp_path / "run" / workdir.CONFIG
  stored = json.loads(file.read_text())
  stored["emulation"]["temperature"] = 1.0
  file.write_text(json.dumps(stored))
  with pytest.raises(FileExistsError, match=r"cannot continue.*'temperature'"):
    config_lib.claim(tmp_path / "run", zoo_, config)
