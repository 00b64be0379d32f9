"""The parts together learn a function of their input."""

from __future__ import annotations

import torch
from torch import Tensor

from drf.forest.gates import SplitGates, steepness
from drf.forest.gaussian_leaves import GaussianLeaves
from drf.forest.label_leaves import LabelLeaves, cross_entropy
from drf.forest.labels import Labels
from drf.forest.routing import balance, hard_leaves, log_routing, probabilities

ROWS, FEATURES, TREES, DEPTH, BINS = 512, 6, 4, 4, 32
STEPS, BATCH = 300, 32


def problem() -> tuple[Tensor, Tensor]:
    """x (n, 6), y (n, 2) in -1..1: a bend and a product of two of the features."""
    x = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0))
    return x, torch.stack([(x[:, 0] + x[:, 1]).tanh(), (x[:, 2] * x[:, 3]).tanh()], dim=-1)


def label_maps(y: Tensor) -> Tensor:
    """Separate x and y bins over -1..1: (n, 2) -> (1, n, 2, BINS)."""
    cells = torch.linspace(-1, 1, BINS)
    return (-0.5 * ((cells - y[..., None]) / 0.1) ** 2).softmax(dim=-1)[None]


def train(leaves: LabelLeaves | GaussianLeaves, x: Tensor, y: Tensor) -> SplitGates:
    torch.manual_seed(0)
    gates = SplitGates(FEATURES, TREES, DEPTH)
    gates.initialise(x)
    codes = hard_leaves(gates.eval()(x))
    gates.train()
    labels = label_maps(y)
    if isinstance(leaves, LabelLeaves):
        leaves.initialise(codes[None], Labels(labels))
    else:
        leaves.initialise(y, codes)
    optimiser = torch.optim.Adam(gates.parameters(), lr=0.03)
    for step in range(STEPS):
        gates.set_steepness(steepness(step / STEPS, 2, 8, "geometric"))
        rows = torch.randint(ROWS, (BATCH,))
        log_p = log_routing(gates(x[rows]))
        if isinstance(leaves, LabelLeaves):
            routing = probabilities(log_p)[None]
            predictions = leaves(routing)
            loss = cross_entropy(predictions, labels[:, rows])
        else:
            loss = -leaves.log_likelihood(y[rows], log_p).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if isinstance(leaves, LabelLeaves):
            leaves.update(routing.detach(), Labels(labels[:, rows]), predictions.detach())
        else:
            leaves.update(y[rows], log_p.detach())
    return gates.eval()


def explained(prediction: Tensor, y: Tensor) -> Tensor:
    """Share of the variance explained, per coordinate."""
    return 1 - (prediction - y).var(dim=0) / y.var(dim=0)


@torch.no_grad()
def expectation(leaves: LabelLeaves, gates: SplitGates, x: Tensor) -> Tensor:
    g = leaves(probabilities(log_routing(gates(x)))[None]).mean(dim=2)[0]
    return (g * torch.linspace(-1, 1, BINS)).sum(dim=-1)


def test_label_leaves_learn() -> None:
    x, y = problem()
    leaves = LabelLeaves(1, TREES, 2**DEPTH, 2, BINS)
    gates = train(leaves, x, y)
    assert (explained(expectation(leaves, gates, x), y) > 0.65).all()  # 0.70 to 0.76 by seed
    assert (balance(log_routing(gates(x))).information > 1.5).all()  # of log 16 = 2.77 nats


def test_gaussian_leaves_learn() -> None:
    x, y = problem()
    leaves = GaussianLeaves(TREES, 2**DEPTH, 2)
    gates = train(leaves, x, y)
    with torch.no_grad():
        prediction = leaves(probabilities(log_routing(gates(x))))
    assert (explained(prediction, y) > 0.5).all()
