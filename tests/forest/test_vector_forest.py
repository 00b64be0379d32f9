"""Forests of vectors with covariances: against loops, at the limits, and on noise they must see."""

from __future__ import annotations

import math

import pytest
import torch

from drf.errors import UsageError
from drf.forest import routing
from drf.forest.vector_forest import VectorForest, VectorForestConfig

R, F, D = 3, 5, 2


def forest(**options: object) -> VectorForest:
    torch.manual_seed(0)
    config = VectorForestConfig(**({"trees": 2, "tree_depth": 3, "routing_warmup": 0.5} | options))
    made = VectorForest(config, F, R, D, 0.1).double()
    made.initialise(torch.randn(40, R, F).double(), 0.1 * torch.randn(200, R, D).double())
    made.set_progress(0.7)
    return made.eval()


def path_probability(gates: torch.Tensor, leaf: int) -> float:
    """prod of s or 1 - s along the path: bit k of the leaf says whether it turns right."""
    p = 1.0
    for k in range(int(math.log2(len(gates) + 1))):
        right = torch.sigmoid(gates[2**k - 1 + leaf % 2**k]).item()
        p *= right if leaf >> k & 1 else 1 - right
    return p


def test_vectors_and_covariances_equal_the_sums_written_out() -> None:
    made = forest()
    routed = made(torch.randn(4, R, F).double())
    for t in range(3):
        torch.manual_seed(t)
        made.leaf_step(routed, torch.randn(4, R, D).double())
    covariances = made.covariances(routed)
    for b in range(4):
        for r in range(R):
            vector, covariance = torch.zeros(D).double(), torch.zeros(D, D).double()
            for tree in range(2):
                for leaf in range(8):
                    p = path_probability(routed.gates[b, r, tree], leaf)
                    held, spread = made.leaf(r, tree, leaf)
                    vector += p * held / 2
                    covariance += p * spread / 2
            torch.testing.assert_close(routed.vectors[b, r], vector)
            torch.testing.assert_close(covariances[b, r], covariance)


def test_the_statistics_are_stepwise_em_written_out() -> None:
    made = forest()
    mass, moments = made.mass.clone(), made.moments.clone()
    for t in range(3):
        routed = made(torch.randn(4, R, F).double())
        errors = torch.randn(4, R, D).double()
        made.leaf_step(routed, errors)
        eta = (t + 2) ** -0.6
        for r in range(R):
            for leaf in range(16):
                p = routed.p[:, r].flatten(1)[:, leaf]
                outer = sum(p[i] * torch.outer(errors[i, r], errors[i, r]) for i in range(4)) / 4
                mass[r, leaf] = (1 - eta) * mass[r, leaf] + eta * p.mean()
                moments[r, leaf] = (1 - eta) * moments[r, leaf] + eta * outer.flatten()
    torch.testing.assert_close(made.mass, mass, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(made.moments, moments, rtol=1e-5, atol=1e-8)


def test_leaves_start_at_the_means_of_their_codes_all_distinct() -> None:
    torch.manual_seed(0)
    made = VectorForest(VectorForestConfig(trees=2, tree_depth=3), F, R, D, 0.1)
    rows = 0.1 * torch.randn(200, R, D)
    made.initialise(torch.randn(40, R, F), rows)
    codes = made.codes(rows.transpose(0, 1))
    for tree in range(2):
        for leaf in range(8):
            mean = rows[codes[1, :, tree] == leaf, 1].mean(dim=0)
            torch.testing.assert_close(made.leaf(1, tree, leaf)[0], mean, rtol=1e-4, atol=1e-6)
    assert torch.pdist(made.values[0, :8]).min() > 1e-3


def test_top_leaves_lie_between_hard_and_soft_routing() -> None:
    soft = forest()
    x = torch.randn(6, R, F).double()
    everything = forest(inference="top", top_k=99)
    torch.testing.assert_close(everything(x).vectors, soft(x).vectors)
    hard = forest(inference="hard")
    torch.testing.assert_close(hard(x).vectors, soft.hard(soft(x)))
    steep = {"steepness_first": 100.0, "steepness_last": 100.0}
    one = forest(inference="top", top_k=1, **steep)
    clear = one(x).gates.abs().flatten(1).min(dim=1).values > 2  # no split of the face is open
    torch.testing.assert_close(
        one(x).vectors[clear], forest(inference="hard", **steep)(x).vectors[clear]
    )
    soft.train()
    assert torch.equal(soft(x).p, everything.train()(x).p)  # learning is always soft


def test_covariances_are_symmetric_and_positive_and_find_where_the_noise_is() -> None:
    torch.manual_seed(0)
    made = VectorForest(
        VectorForestConfig(trees=4, tree_depth=3, routing_warmup=0.0, steepness_last=8.0),
        2,
        1,
        2,
        0.1,
    )
    made.initialise(torch.randn(64, 1, 2), 0.1 * torch.randn(512, 1, 2))
    optimiser = torch.optim.Adam(made.parameters(), lr=0.02)

    def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(n, 1, 2)
        noise = torch.where(x[..., :1] > 0, 0.1, 0.02) * torch.randn(n, 1, 2)
        return x, 0.1 * x.flip(-1) + noise

    for step in range(200):
        made.set_progress(step / 200)
        x, y = draw(64)
        routed = made(x)
        loss = (routed.vectors - y).abs().mean() / 0.1
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        made.leaf_step(routed, (y - routed.vectors).detach())
    made.eval()
    x, y = draw(2000)
    routed = made(x)
    covariances = made.covariances(routed).detach()
    torch.testing.assert_close(covariances, covariances.mT)
    assert torch.linalg.eigvalsh(covariances).min() > 0
    spread = covariances.diagonal(dim1=-2, dim2=-1).mean(dim=-1).sqrt().flatten()
    loud = spread[x[:, 0, 0] > 0.5].mean()
    quiet = spread[x[:, 0, 0] < -0.5].mean()
    assert loud > 1.5 * quiet
    actual = (y - routed.vectors).square().mean().sqrt().item()
    assert spread.square().mean().sqrt().item() == pytest.approx(actual, rel=0.25)


def test_only_the_warm_up_learns_codes() -> None:
    made = forest()
    routed = made(torch.randn(4, R, F).double())
    rows = torch.randn(4, R, D).double()
    assert made.loss(routed, rows) == {}
    made.set_progress(0.1)
    codes = made.codes(rows.transpose(0, 1))
    expected = [
        -routed.log_p[b, r, t, codes[r, b, t]] for b in range(4) for r in range(R) for t in range(2)
    ]
    torch.testing.assert_close(made.loss(routed, rows)["codes"], torch.stack(expected).mean())


def test_leaves_that_do_not_fit_are_refused_with_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing, "_free", lambda: 1000)
    with pytest.raises(UsageError, match=r"vectors need .* bytes"):
        VectorForest(VectorForestConfig(), F, R, D, 0.1)
