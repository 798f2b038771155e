"""Every encoder that comes with the package works, as many as there are."""

import jax
import numpy as np
import pytest

from weightspace import pretrained, symmetry
from weightspace.rnn import RNNSpec, make_rnn

LIMIT = 5_000_000  # bytes


@pytest.mark.slow
def test_each_embeds_a_network():
  folders = [path for path in pretrained.MODELS.iterdir() if path.is_dir()]
  assert sorted(path.name for path in folders) == list(pretrained.names())
  for name in pretrained.names():
    folder = pretrained.MODELS / name
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert sum(sizes) <= LIMIT, name
    card = (folder / "README.md").read_text()
    assert f'load_encoder("{name}")' in card
    encoder = pretrained.load_encoder(name)
    shapes = list(encoder.zoo.rnns)
    if encoder.encoder_of(shapes[0]).transcript is not None:
      sizes = shapes[0].inputs, shapes[0].outputs
      shapes.append(RNNSpec("gru", (5,), *sizes))
    for shape in shapes:
      rnn = make_rnn(shape)
      weights = rnn.init(jax.random.key(0))
      result = encoder.examine(weights)
      np.testing.assert_allclose(np.linalg.norm(result.code), 1, atol=1e-4)
      assert result.predictions and result.nearest
      for prediction in result.predictions:
        assert np.isfinite(prediction.value).all()
      if encoder.encoder_of(shape).invariant:
        augmented = symmetry.augment(jax.random.key(1), rnn, weights)
        np.testing.assert_allclose(
            encoder.embed(augmented), result.code, atol=1e-3
        )
