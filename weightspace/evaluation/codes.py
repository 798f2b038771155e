"""Codes of many networks, and what they look like in the plane."""

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import zoo
from weightspace.encoders import Encoder
from weightspace.rnn import RNN
from weightspace.training.pretrain import Pretrained
from weightspace.types import Params
from weightspace.zoo import loader

_TSNE_INPUTS = 50  # numbers that distances are cheap to compute of


def encode(
    encoder: Encoder,
    rnn: RNN,
    params: Params,
    vectors: np.ndarray | loader.OnDisk,
    *,
    batch: int = 256,
) -> np.ndarray:
  """Codes of networks given as flattened weights, a batch at a time.

  Args:
    encoder: the encoder.
    rnn: the shape of the networks.
    params: of the encoder.
    vectors: [R, P] float32, in memory or on disk.
    batch: networks that are encoded at the same time.

  Returns:
    [R, Z] float32.
  """
  size = len(vectors)
  batch = min(batch, size)
  order = np.arange(-(-size // batch) * batch) % size  # the last one repeats

  @jax.jit
  def encode_batch(params, vectors):
    return jax.vmap(
        lambda v: encoder.apply(params, rnn.unflatten(v))
    )(vectors)

  codes = [
      np.asarray(encode_batch(params, jnp.asarray(vectors[rows])))
      for rows in order.reshape(-1, batch)
  ]
  return np.concatenate(codes)[:size]


def of_zoo(
    source: zoo.Zoo, pretrained: Pretrained, rows: np.ndarray | None = None
) -> np.ndarray:
  """Codes of rows of a zoo, of networks that diverged too.

  Args:
    source: the zoo.
    pretrained: an encoder of its networks.
    rows: [n] row numbers; by default all.

  Returns:
    [n, Z] float32; weights that are not finite are read as 0.
  """
  rows = np.arange(len(source)) if rows is None else np.asarray(rows)
  places = loader.by_shape(source, rows)
  found = [
      encode(
          encoder,
          rnn,
          pretrained.params["encoder"],
          loader.OnDisk(
              len(of_shape),
              lambda chosen, of_shape=of_shape: np.nan_to_num(
                  source.vectors(rows[of_shape[chosen]])
              ),
          ),
      )
      for encoder, rnn, of_shape in zip(
          pretrained.model.encoders, source.rnns, places
      )
      if len(of_shape)
  ]
  return np.concatenate(found)[np.argsort(np.concatenate(places))]


def pca(
    codes: np.ndarray, components: int = 2
) -> tuple[np.ndarray, np.ndarray]:
  """Principal components of codes.

  Args:
    codes: [R, Z].
    components: how many.

  Returns:
    coordinates [R, components], each component's largest loading positive so
    that the picture is the same each time, and the share of the variance
    that each explains.
  """
  centred = codes - codes.mean(axis=0)
  _, scales, axes = np.linalg.svd(centred, full_matrices=False)
  largest = np.argmax(np.abs(axes), axis=1)
  axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
  total = max(float(np.sum(scales**2)), np.finfo(np.float32).tiny)
  share = scales**2 / total
  return centred @ axes[:components].T, share[:components]


def tsne(
    codes: np.ndarray, *, seed: int, perplexity: float = 30.0
) -> np.ndarray:
  """Codes in the plane, those near each other near; needs the extra `report`.

  More than 50 numbers a code, such as weights, are first reduced to their 50
  principal components.

  Args:
    codes: [R, Z], finite.
    seed: of the optimisation; on one machine, the same picture each time.
    perplexity: about how many neighbours each code has; at most a third of
      the others are taken.

  Returns:
    [R, 2] float32.

  Raises:
    ValueError: fewer than 5 codes, or some that are not finite.
  """
  from sklearn.decomposition import PCA
  from sklearn.manifold import TSNE
  from threadpoolctl import threadpool_limits

  codes = np.asarray(codes, np.float32)
  if len(codes) < 5 or not np.isfinite(codes).all():
    raise ValueError(
        f"codes have shape {codes.shape}, expected at least 5 and all of them"
        " finite"
    )
  if min(codes.shape) > _TSNE_INPUTS:
    reduce = PCA(_TSNE_INPUTS, svd_solver="randomized", random_state=seed)
    codes = reduce.fit_transform(codes)
  # As small as sklearn's own start from principal components, whose signs may
  # differ between machines
  init = pca(codes)[0].astype(np.float32)
  if init.shape[1] < 2:
    init = np.pad(init, ((0, 0), (0, 2 - init.shape[1])))
  spread = init[:, 0].std()
  embedding = TSNE(
      perplexity=min(perplexity, (len(codes) - 1) / 3),
      init=init * (1e-4 / spread if spread > 0 else 1.0),
      random_state=seed,
  )
  # Its threads wait for each other spinning, for minutes where cores are busy
  with threadpool_limits(1):
    return embedding.fit_transform(codes)
