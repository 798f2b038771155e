"""Codes of many networks, and their principal components."""

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA

from weightspace import encoders
from weightspace.evaluation import codes
from weightspace.rnn import RNNSpec, make_rnn

RNN = make_rnn(RNNSpec("elman", (3,), 2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("size, batch", [(1, 4), (4, 4), (7, 3), (3, 9)])
def test_each_network_gets_its_own_code(size, batch):
  encoder = encoders.make(
      "statistics", {"hidden": 4, "layers": 1, "code": 3}, RNN,
      encoders.Inputs("token"),
  )
  params = encoder.init(jax.random.key(0))
  vectors = np.random.default_rng(0).standard_normal(
      (size, RNN.size), np.float32
  )
  z = codes.encode(encoder, RNN, params, vectors, batch=batch)
  assert z.shape == (size, 3)
  assert z.dtype == np.float32
  alone = jax.jit(lambda v: encoder.apply(params, RNN.unflatten(v)))
  for code, vector in zip(z, vectors):
    np.testing.assert_allclose(code, alone(vector), rtol=1e-5, atol=1e-6)


def cloud():
  random = np.random.default_rng(0)
  return random.standard_normal((50, 4)) @ random.standard_normal((4, 4)) + 3


def test_pca_is_sklearns_up_to_signs():
  points = cloud()
  coordinates, share = codes.pca(points, components=3)
  reference = PCA(3)
  expected = reference.fit_transform(points)
  np.testing.assert_allclose(np.abs(coordinates), np.abs(expected), rtol=1e-6)
  np.testing.assert_allclose(share, reference.explained_variance_ratio_)


def test_pca_does_not_flip():
  points = cloud()
  first = codes.pca(points)[0]
  centre = points.mean(axis=0)
  mirrored = codes.pca(2 * centre - points)[0]
  np.testing.assert_allclose(mirrored, -first, rtol=1e-6)
  shuffled = np.random.default_rng(1).permutation(len(points))
  np.testing.assert_allclose(
      codes.pca(points[shuffled])[0], first[shuffled], rtol=1e-6
  )


def test_pca_of_codes_that_are_all_alike():
  coordinates, share = codes.pca(np.ones((5, 3), np.float32))
  np.testing.assert_array_equal(coordinates, 0)
  np.testing.assert_array_equal(share, 0)


def test_tsne_keeps_clusters_together():
  size = 80  # more than it takes without reducing them first
  random = np.random.default_rng(0)
  cluster = np.repeat(np.arange(3), 20)
  centres = 10 * random.standard_normal((3, size))
  points = centres[cluster] + random.standard_normal((60, size))
  points_2d = codes.tsne(points, seed=0, perplexity=10)
  assert points_2d.shape == (60, 2)
  distances = np.linalg.norm(points_2d[:, None] - points_2d, axis=-1)
  np.fill_diagonal(distances, np.inf)
  nearest = np.argmin(distances, axis=1)
  assert np.mean(cluster[nearest] == cluster) > 0.95
  again = codes.tsne(points, seed=0, perplexity=10)
  np.testing.assert_array_equal(again, points_2d)


def test_tsne_of_few_codes_and_of_those_that_are_all_alike():
  few = np.random.default_rng(0).standard_normal((5, 1))
  assert np.isfinite(codes.tsne(few, seed=0)).all()
  assert np.isfinite(codes.tsne(np.ones((9, 3)), seed=0)).all()
  with pytest.raises(ValueError, match=r"shape \(4, 3\), expected at least 5"):
    codes.tsne(np.ones((4, 3)), seed=0)
  with pytest.raises(ValueError, match="all finite"):
    codes.tsne(np.full((9, 3), np.nan), seed=0)
