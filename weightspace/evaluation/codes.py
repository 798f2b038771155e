"""Codes of many networks, and their projections to the plane."""

import jax
import jax.numpy as jnp
import numpy as np

from weightspace import settings
from weightspace.encoders import Encoder
from weightspace.errors import UserError
from weightspace.rnn import RNN
from weightspace.training import batches
from weightspace.training.pretrain import Pretrained
from weightspace.types import Params
from weightspace.zoo import Zoo, loader

_TSNE_COMPONENTS = 50  # codes with more numbers are first reduced by PCA


@settings.pinned()
def encode(
    encoder: Encoder,
    rnn: RNN,
    params: Params,
    vectors: np.ndarray | loader.OnDisk,
    *,
    batch: int = 256,
) -> np.ndarray:
  """Encodes networks, given as flattened weights, in batches.

  Args:
    encoder: the encoder.
    rnn: the networks' architecture.
    params: of the encoder.
    vectors: [R, P] float32, in memory or on disk.
    batch: networks encoded at a time.

  Returns:
    [R, Z] float32.
  """
  @jax.jit
  def encode_batch(params, vectors):
    return jax.vmap(
        lambda v: encoder.apply(params, rnn.unflatten(v))
    )(vectors)

  return batches.map_batches(
      lambda rows: encode_batch(params, jnp.asarray(vectors[rows])),
      len(vectors),
      min(batch, len(vectors)),
  )


@settings.pinned()
def of_zoo(
    zoo: Zoo, pretrained: Pretrained, rows: np.ndarray | None = None
) -> np.ndarray:
  """Codes of rows of a zoo, including networks that diverged.

  Args:
    zoo: the zoo.
    pretrained: an encoder of its networks.
    rows: [n] row numbers; by default all.

  Returns:
    [n, Z] float32; weights that are not finite are replaced by 0.
  """
  rows = np.arange(len(zoo)) if rows is None else np.asarray(rows)
  places = loader.by_shape(zoo, rows)
  codes = [
      encode(
          encoder,
          rnn,
          pretrained.params["encoder"],
          loader.OnDisk(
              len(places_),
              lambda chosen, places_=places_: np.nan_to_num(
                  zoo.vectors(rows[places_[chosen]])
              ),
          ),
      )
      for encoder, rnn, places_ in zip(
          pretrained.model.encoders, zoo.rnns, places
      )
      if len(places_)
  ]
  return np.concatenate(codes)[np.argsort(np.concatenate(places))]


def pca(
    codes: np.ndarray, components: int = 2
) -> tuple[np.ndarray, np.ndarray]:
  """Principal components of codes.

  Args:
    codes: [R, Z].
    components: number of components.

  Returns:
    coordinates [R, components], and the explained variance ratios
    [components]. The largest loading of each component is positive, so signs
    are reproducible.
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
  """Embeds codes in the plane by t-SNE; needs the extra `report`.

  Codes of more than 50 numbers, such as weights, are first reduced to 50
  principal components. Results are reproducible on one machine.

  Args:
    codes: [R, Z], finite.
    seed: of the optimisation.
    perplexity: t-SNE's, bounded by (R - 1) / 3.

  Returns:
    [R, 2] float32.

  Raises:
    ValueError: there are fewer than 5 codes, or some are not finite.
  """
  from sklearn.decomposition import PCA
  from sklearn.manifold import TSNE
  from threadpoolctl import threadpool_limits

  codes = np.asarray(codes, np.float32)
  if len(codes) < 5 or not np.isfinite(codes).all():
    raise UserError(
        f"codes have shape {codes.shape}, expected at least 5, all finite"
    )
  if min(codes.shape) > _TSNE_COMPONENTS:
    reduce = PCA(_TSNE_COMPONENTS, svd_solver="randomized", random_state=seed)
    codes = reduce.fit_transform(codes)
  # sklearn's PCA initialisation, but with reproducible signs
  init = pca(codes)[0].astype(np.float32)
  if init.shape[1] < 2:
    init = np.pad(init, ((0, 0), (0, 2 - init.shape[1])))
  spread = init[:, 0].std()
  embedding = TSNE(
      perplexity=min(perplexity, (len(codes) - 1) / 3),
      init=init * (1e-4 / spread if spread > 0 else 1.0),
      random_state=seed,
  )
  # Busy-waiting threads are slow on busy cores
  with threadpool_limits(1):
    return embedding.fit_transform(codes)
