"""Statistics of face shapes: missing landmarks, principal components, clusters, groups.

Shapes are arrays (n, K, 2) float64, in any one frame; K landmarks as (x, y). Principal components
are taken of the shapes as they are, not of aligned ones, unless the caller aligned them: what a
model predicts must go back into the picture, and Procrustes analysis would lose scale, rotation
and shift.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from drf.errors import UsageError
from drf.landmarks import geometry


def complete(faces: Tensor) -> Tensor:
    """Return faces (n, K, 2) with missing landmarks (NaN) filled in; those that are whole as they
    are.

    A missing landmark comes from the mean shape (of each landmark over the faces that have it),
    brought by a similarity to the landmarks that the face has: the mean shape itself where these
    are fewer than two.
    """
    missing = faces.isnan().any(dim=-1).cpu().numpy()
    if not missing.any():
        return faces
    result = faces.cpu().double().numpy().copy()
    known = ~missing[..., None]
    count = known.sum(axis=0)
    total = np.where(known, result, 0.0).sum(axis=0)
    mean = total / np.maximum(count, 1)
    mean = np.where(count > 0, mean, total.sum(axis=0) / max(1, count.sum()))
    for face, absent in zip(result, missing, strict=True):
        there = ~absent
        if not absent.any():
            continue
        placed = mean
        if len(np.unique(mean[there], axis=0)) > 1:
            (to_face,) = geometry.similarities(mean[None, there], face[None, there])
            placed = geometry.apply(to_face[None], mean[None])[0]
        face[absent] = placed[absent]
    return torch.from_numpy(result).to(faces)


@dataclass(frozen=True)
class ShapeModel:
    """Principal components of shapes: shape = mean + sum_j b_j component_j.

    mean        (K, 2)
    components  (D, K, 2), orthonormal over 2 K, by falling variance
    variances   (D,), of the coefficients over the faces it was fitted to
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(cls, shapes: np.ndarray, dims: int) -> ShapeModel:
        """Fit to (n, K, 2) shapes. Raises UsageError where they have fewer than dims components."""
        n, k, _ = shapes.shape
        mean = shapes.mean(axis=0)
        rows = (shapes - mean).reshape(n, 2 * k)
        _, singular, components = np.linalg.svd(rows, full_matrices=False)
        tolerance = np.linalg.norm(shapes) * max(rows.shape) * np.finfo(np.float64).eps
        rank = int((singular > tolerance).sum())
        if not 1 <= dims <= rank:
            raise UsageError(
                f"{n} shapes of {k} points have {rank} principal components, not {dims}: ask for"
                f" at most {rank}, or train on more faces"
            )
        variances = singular[:dims] ** 2 / n
        return cls(mean, components[:dims].reshape(dims, k, 2), variances)

    def project(self, shapes: np.ndarray) -> np.ndarray:
        """Return coefficients: (..., K, 2) -> (..., D)."""
        return np.einsum("...kc,dkc->...d", shapes - self.mean, self.components)


@dataclass(frozen=True)
class Clusters:
    """centres (k, D) · codes (n,) int, the nearest centre of each row."""

    centres: np.ndarray
    codes: np.ndarray


def k_means(rows: np.ndarray, k: int, *, seed: int, iterations: int = 30) -> Clusters:
    """Cluster rows (n, D) by Lloyd's iterations from a k-means++ start, the same for one seed.

    A cluster that loses all its rows keeps its last centre, so centres stay apart. Raises
    UsageError where fewer rows than clusters differ.
    """
    from scipy.cluster.vq import kmeans2, vq  # here: the import takes longer than most commands

    rows = np.asarray(rows, dtype=np.float64)
    distinct = len(np.unique(rows, axis=0))
    if k > distinct:
        raise UsageError(f"{k} leaves cannot start from {distinct} different faces: use fewer")
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings(action="ignore"):  # of empty clusters
        centres, _ = kmeans2(rows, k, iter=iterations, minit="++", missing="warn", rng=rng)
    return Clusters(centres, vq(rows, centres)[0].astype(np.int64))


def correlation(aligned: np.ndarray) -> np.ndarray:
    """Return how landmarks move together: aligned shapes (n, K, 2) -> (K, K), -1..1.

    With residuals r_ik to the mean shape: sum_i r_ij . r_ik / sqrt(sum_i |r_ij|^2 sum_i |r_ik|^2).
    A landmark that never moves correlates with none but itself.
    """
    residuals = aligned - aligned.mean(axis=0)
    products = np.einsum("ijc,ikc->jk", residuals, residuals)
    spread = np.sqrt(np.diagonal(products))
    scale = np.where(spread > 0, spread, np.inf)
    result = products / (scale[:, None] * scale)
    np.fill_diagonal(result, 1.0)
    return result


def correlation_groups(shapes: np.ndarray, n_groups: int) -> list[np.ndarray]:
    """Partition landmarks by how they move once similarities are taken out.

    (n, K, 2) -> n_groups int arrays of positions 0..K-1, each ascending, ordered by their first.
    Average linkage over 1 - correlation. Raises UsageError for a number of groups out of 1..K.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    k = shapes.shape[1]
    if not 1 <= n_groups <= k:
        raise UsageError(f"{k} landmarks form 1 to {k} groups, not {n_groups}")
    if k == 1:
        return [np.zeros(1, dtype=np.int64)]
    distance = np.clip(1 - correlation(geometry.procrustes(shapes).shapes), 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    label = cut_tree(tree, n_groups).ravel()
    groups = [np.flatnonzero(label == value) for value in np.unique(label)]
    return sorted(groups, key=lambda group: int(group[0]))
