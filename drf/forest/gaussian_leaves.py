"""Gaussian leaves (Shen et al. 2018, DRF, arXiv 1712.07195): EM with the routing as gating.

    p(y|x) = sum_l P(l|x) N(y; mu_l, S_l)                     per tree
    z_il = P(l|x_i) N(y_i; mu_l, S_l) / p(y_i|x_i)            responsibilities
    mu_l <- sum_i z_il y_i / sum_i z_il,   S_l <- sum_i z_il (y_i - mu_l)(y_i - mu_l)^T / sum_i z_il

The leaves of all trees in one tensor, everything in logs. A density is not a probability: it is
never clamped. Densities are evaluated with S <- (1 - r) S + r tr(S)/D I + eps I, by Cholesky, so
that a leaf of one face, or of forty equal ones, in 40 dimensions stays finite.

Shapes: labels y (N, D); log P (N, T, L). Labels of very unequal variance (PCA coefficients) are
best divided by their standard deviations first: shrinkage draws towards a sphere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.distributed import processes, total
from drf.forest.routing import stepwise_rate

STARVED = 1e-6
"""Share of an even leaf's mass under which a leaf keeps its value instead of fitting noise."""


ROOM = 2**24
"""Numbers of a temporary over rows, leaves and dimensions: more rows are taken in turn. Thousands
of labels against hundreds of leaves in 40 dimensions would not fit otherwise."""


class GaussianLeaves(nn.Module):
    """T trees of L Gaussians in D dimensions; no gradient reaches them, only the routing.

    shrinkage  r, 0..1
    floor      eps as a share of the labels' mean variance, above 0; 1e-6 is safe in float32

    The statistics are kept as mass, mean and covariance about the mean, and merged by the formula
    for pooled moments: sums of y y^T would lose a tight leaf far from the origin to cancellation.
    """

    mass: Tensor
    mean: Tensor
    covariance: Tensor
    factor: Tensor
    scale: Tensor
    steps: Tensor

    def __init__(
        self, trees: int, leaves: int, dims: int, *, shrinkage: float = 0.05, floor: float = 1e-4
    ) -> None:
        super().__init__()
        self.shrinkage, self.floor = shrinkage, floor
        eye = torch.eye(dims).expand(trees, leaves, dims, dims)
        self.register_buffer("mass", torch.full((trees, leaves), 1 / leaves))
        self.register_buffer("mean", torch.zeros(trees, leaves, dims))
        self.register_buffer("covariance", eye.clone())
        self.register_buffer("factor", eye.clone())
        self.register_buffer("scale", torch.ones(()))  # mean variance of the labels
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def initialise(self, y: Tensor, codes: Tensor) -> None:
        """Fit each leaf to the rows assigned to it. y: (N, D); codes: (N, T) int, by k-means.

        A leaf without rows takes the mean and covariance of all; `reseed` sets those apart.
        """
        apart = y - y.mean(dim=0)
        covariance = apart.T @ apart / len(y)
        tiny = torch.finfo(y.dtype).tiny
        self.scale.copy_(covariance.diagonal().mean().clamp(min=tiny))
        self.mean.copy_(y.mean(dim=0).expand_as(self.mean))
        self.covariance.copy_(covariance.expand_as(self.covariance))
        z = F.one_hot(codes, self.mass.shape[1]).to(y.dtype)
        self._merge(y, z, torch.ones_like(self.scale))
        self.steps.zero_()

    def log_density(self, y: Tensor) -> Tensor:
        """Return log N(y; mu_l, S_l): (N, D) -> (N, T, L)."""
        rows = max(1, ROOM // self.mean.numel())
        return torch.cat([self._log_density(part) for part in y.split(rows)])

    def _log_density(self, y: Tensor) -> Tensor:
        apart = y.T - self.mean.unsqueeze(-1)  # (T, L, D, N)
        whitened = torch.linalg.solve_triangular(self.factor, apart, upper=False)
        log_det = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        constant = log_det + self.mean.shape[-1] * math.log(2 * math.pi)
        return -0.5 * (whitened.square().sum(dim=2).permute(2, 0, 1) + constant)

    def responsibilities(self, y: Tensor, log_p: Tensor) -> Tensor:
        """Return z: (N, D), (N, T, L) -> (N, T, L), summing to 1 over each tree's leaves."""
        return (log_p + self.log_density(y)).softmax(dim=-1)

    def log_likelihood(self, y: Tensor, log_p: Tensor) -> Tensor:
        """Return log p(y|x) of every tree: (N, D), (N, T, L) -> (N, T). Differentiable in log_p."""
        return (log_p + self.log_density(y)).logsumexp(dim=-1)

    def forward(self, routing: Tensor) -> Tensor:
        """Return the mean over trees of sum_l P(l|x) mu_l: (N, T, L) -> (N, D)."""
        with torch.autocast(routing.device.type, enabled=False):
            return routing.flatten(1) @ self.mean.flatten(0, 1) / routing.shape[1]

    def log_prior(self) -> Tensor:
        """Return the log share of each leaf, (T, L): in the place of log_p it makes the leaves a
        mixture model of the labels alone, EM before there is any routing."""
        return (
            F.normalize(self.mass, p=1.0, dim=-1).clamp(min=torch.finfo(self.mass.dtype).tiny).log()
        )

    @torch.no_grad()
    def em_step(self, y: Tensor, log_p: Tensor) -> Tensor:
        """One EM iteration on all rows; returns the mean log-likelihood before it, ().

        The likelihood never falls by it, apart from what shrinkage and floor take.
        """
        joint = log_p + self.log_density(y)
        self._merge(y, joint.softmax(dim=-1), torch.ones_like(self.scale))
        return joint.logsumexp(dim=-1).mean()

    @torch.no_grad()
    def update(self, y: Tensor, log_p: Tensor) -> None:
        """Take one batch into the statistics: stepwise EM, S <- (1 - eta) S + eta * batch."""
        with torch.autocast(y.device.type, enabled=False):
            z = self.responsibilities(y, log_p)
            self._merge(y, z, stepwise_rate(self.steps).to(y.dtype))
        self.steps += 1

    @torch.no_grad()
    def reseed(self, y: Tensor, routing: Tensor, generator: torch.Generator, share: float) -> None:
        """Move leaves of less than `share` of an even leaf's mass onto rows that are badly served.

        Rows are drawn without replacement, in proportion to the squared error of the tree's own
        prediction, as k-means++ draws; a moved leaf takes the covariance and the mass of an even
        leaf. y: (N, D), routing: (N, T, L); at least one row.
        """
        even = self.mass.mean(dim=-1, keepdim=True)
        starved = self.mass < share * even
        own = torch.einsum("ntl,tld->tnd", routing, self.mean)
        error = (own - y).square().sum(dim=-1)  # (T, N)
        noise = torch.rand(error.shape, generator=generator, device=y.device, dtype=y.dtype)
        gumbel = -(-noise.clamp(min=1e-20).log()).clamp(min=1e-20).log()
        order = (error.clamp(min=1e-20).log() + gumbel).argsort(dim=-1, descending=True)
        place = (starved.cumsum(dim=-1) - 1).clamp(min=0) % len(y)
        seeds = y[order.gather(1, place)]  # (T, L, D)
        weight = F.normalize(self.mass, p=1.0, dim=-1)[..., None, None]
        pooled = (weight * self.covariance).sum(dim=1, keepdim=True).expand_as(self.covariance)
        self.mean.copy_(torch.where(starved[..., None], seeds, self.mean))
        self.covariance.copy_(torch.where(starved[..., None, None], pooled, self.covariance))
        self.mass.copy_(torch.where(starved, even, self.mass))
        self._factorise()

    def _merge(self, y: Tensor, z: Tensor, eta: Tensor) -> None:
        """Pool the statistics, weight 1 - eta, with those of a batch, weight eta: 1 replaces them.

        mean <- mean + f delta,  cov <- (1 - f) cov + f cov_batch + f (1 - f) delta delta^T, with f
        the batch's share of the leaf's mass and delta the way between the means.
        """
        n, dims = len(y) * processes(), y.shape[1]
        centre = total(y.sum(dim=0)) / n
        apart = y - centre
        moments = torch.cat([apart, (apart[:, :, None] * apart[:, None, :]).flatten(1)], dim=1)
        batch_mass = total(z.sum(dim=0))  # (T, L)
        sums = total(z.flatten(1).T @ moments).unflatten(0, batch_mass.shape)
        sums = sums / batch_mass.clamp(min=torch.finfo(sums.dtype).tiny)[..., None]
        batch_mean = sums[..., :dims]
        second = sums[..., dims:].unflatten(-1, (dims, dims))
        batch_covariance = second - batch_mean[..., :, None] * batch_mean[..., None, :]
        old, new = (1 - eta) * self.mass, eta * batch_mass / n
        mass = old + new
        alive = batch_mass / n > STARVED / batch_mass.shape[1]
        f = torch.where(alive, new / mass, 0)[..., None]
        delta = batch_mean + centre - self.mean
        self.mass.copy_(mass)
        self.mean.add_(f * delta)
        f = f[..., None]
        spread = batch_covariance + (1 - f) * delta[..., :, None] * delta[..., None, :]
        self.covariance.copy_((1 - f) * self.covariance + f * spread)
        self._factorise()

    def _factorise(self) -> None:
        """Set the Cholesky factors; a covariance without one keeps the factor it had."""
        dims = self.mean.shape[-1]
        eye = torch.eye(dims, dtype=self.mean.dtype, device=self.mean.device)
        variance = self.covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp(min=0)
        ridge = self.shrinkage * variance + self.floor * self.scale
        shrunk = (1 - self.shrinkage) * self.covariance + ridge[..., None, None] * eye
        factor, info = torch.linalg.cholesky_ex(shrunk)
        self.factor.copy_(torch.where((info == 0)[..., None, None], factor, self.factor))
