"""Shapes as a few numbers of unit variance, and back: principal components as a model's buffers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from drf.errors import UsageError
from drf.landmarks.shapes import ShapeModel

FILLING = 8
"""Rounds in which missing landmarks are filled in."""


class ShapeSpace(nn.Module):
    """b = (shape - mean) . component_j / sd_j, the first D components of those it was fitted to.

    Shapes (B, K, 2) float32 unit box; coefficients (B, D), each of mean 0 and variance 1 over those
    faces. Nothing is aligned first: position, size and orientation are among the components, so
    what a model predicts lies in the picture. Raises UsageError for more dimensions than 2 K.
    """

    mean: Tensor
    components: Tensor
    sd: Tensor

    def __init__(self, n_points: int, dims: int) -> None:
        super().__init__()
        if dims > 2 * n_points:
            raise UsageError(
                f"{n_points} landmarks have at most {2 * n_points} principal components, not"
                f" model.dims = {dims}: ask for fewer, or for more landmarks"
            )
        self.register_buffer("mean", torch.full((n_points, 2), 0.5))
        self.register_buffer("components", torch.eye(dims, 2 * n_points))
        self.register_buffer("sd", torch.ones(dims))

    @torch.no_grad()
    def initialise(self, shapes: Tensor) -> None:
        """Fit to whole shapes, (n, K, 2).

        Raises UsageError where they have fewer components than dimensions.
        """
        fitted = ShapeModel.fit(shapes.double().cpu().numpy(), len(self.sd))
        self.mean.copy_(torch.from_numpy(fitted.mean))
        self.components.copy_(torch.from_numpy(fitted.components).flatten(1))
        self.sd.copy_(torch.from_numpy(np.sqrt(fitted.variances)))

    def coefficients(self, shapes: Tensor) -> Tensor:
        """(..., K, 2) -> (..., D).

        A missing landmark (NaN) is filled in: what the coefficients of the others predict of it,
        found in FILLING rounds from the mean shape on, nears the least squares over the landmarks
        that are there.
        """
        offsets = (shapes - self.mean).flatten(-2)
        missing = offsets.isnan()
        offsets = torch.where(missing, 0.0, offsets)
        for _ in range(FILLING):
            expected = offsets @ self.components.T @ self.components
            offsets = torch.where(missing, expected, offsets)
        return offsets @ self.components.T / self.sd

    def shapes(self, coefficients: Tensor) -> Tensor:
        """(..., D) -> (..., K, 2); exact for shapes in the span of the components."""
        offsets = (coefficients.float() * self.sd) @ self.components
        return self.mean + offsets.unflatten(-1, (-1, 2))

    def std(self, covariance: Tensor) -> Tensor:
        """Return the standard deviations of x and y of every landmark: (..., D, D) -> (..., K, 2).

        Those of the shapes whose coefficients have this covariance, unit box.
        """
        directions = self.sd[:, None] * self.components
        variance = ((covariance @ directions) * directions).sum(dim=-2)
        return variance.clamp(min=0).sqrt().unflatten(-1, (-1, 2))
