"""The forest head against the historical one, side by side in one run, at its largest setting.

    python -m benchmarks.forest_head [--quick] [--json]

Batch 10, 68 landmarks, 8 trees of depth 8: 2048 leaves that all landmarks share, 64 + 64 bins. The
historical one loops over trees, leaves and depth in Python, and forms the responsibilities of a
tree, rows x leaves x bins, for its leaf step. Both compute the same numbers; that is checked first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import run_script
from drf import hardware
from drf.forest.label_leaves import LabelLeaves, bounding_step, cross_entropy, predict
from drf.forest.labels import Labels
from drf.forest.routing import log_routing, probabilities

ROWS, TREES, DEPTH, AXES, BINS = 10 * 68, 8, 8, 2, 64
SPLITS, LEAVES, CELLS = 2**DEPTH - 1, 2**DEPTH, AXES * BINS

Step = Callable[[], object]


@dataclass(frozen=True)
class Target:
    """name · unit · the value measured · whether it has to be at least or at most the limit."""

    name: str
    value: float
    limit: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Bound:
    """What a part cannot be faster than: its FLOPs and bytes over the measured peaks."""

    name: str
    ms: float
    gflop: float
    megabytes: float
    compute_ms: float
    memory_ms: float

    @property
    def by(self) -> str:
        return "arithmetic" if self.compute_ms > self.memory_ms else "bytes moved"


class Problem:
    """One batch: gates laid out as `SplitGates` returns them, leaves, labels."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        f = torch.randn(TREES, SPLITS, ROWS, generator=generator)
        self.gates = f.permute(2, 0, 1).requires_grad_()
        self.plain_gates = self.gates.detach().contiguous().requires_grad_()
        centres = torch.rand(ROWS, AXES, 1, generator=generator) * BINS
        labels = (-0.5 * (torch.arange(BINS) - centres) ** 2).softmax(dim=-1)
        labels = F.threshold(labels, 1e-20, 0.0)  # denormals are slow in a loop
        self.labels = Labels(labels[None])
        self.leaves = LabelLeaves(1, TREES, LEAVES, AXES, BINS)
        q = torch.randn(self.leaves.q.shape, generator=generator).softmax(dim=-1)
        self.q = self.leaves.q.copy_(q)
        with torch.no_grad():
            self.log_p = log_routing(self.gates)
        self.routing = probabilities(self.log_p)[None]
        self.plain_routing = self.routing[0].contiguous()

    def whole_step(self) -> None:
        """Route, predict, differentiate, update the leaves."""
        routing = probabilities(log_routing(self.gates))[None]
        predictions = self.leaves(routing)
        loss = cross_entropy(predictions, self.labels.weights)
        torch.autograd.grad(loss, self.gates)
        self.leaves.update(routing.detach(), self.labels, predictions.detach())

    def historical_whole_step(self) -> None:
        """The same in the historical way, which has no statistics over batches."""
        routing = historical_routing(self.plain_gates)
        per_tree = torch.einsum("ntl,tlc->ntc", routing, self.q[0].flatten(2))
        loss = cross_entropy(per_tree.unflatten(2, (AXES, BINS))[None], self.labels.weights)
        torch.autograd.grad(loss, self.plain_gates)
        historical_leaf_step(
            routing.detach(), self.q[0].flatten(2), self.labels.weights[0].flatten(1)
        )


def historical_routing(gates: Tensor) -> Tensor:
    """P(l|x) by a loop over trees, leaves and depth. (N, T, S) -> (N, T, L)."""
    decision = torch.sigmoid(gates)
    trees = []
    for tree in range(TREES):
        leaves = []
        for leaf in range(LEAVES):
            p = torch.ones(len(gates))
            for k in range(DEPTH):
                s = decision[:, tree, 2**k - 1 + leaf % 2**k]
                p = p * (s if leaf >> k & 1 else 1 - s)
            leaves.append(p)
        trees.append(torch.stack(leaves, dim=1))
    return torch.stack(trees, dim=1)


def historical_leaf_step(routing: Tensor, q: Tensor, labels: Tensor) -> Tensor:
    """Bounding over all responsibilities of a tree. (N, T, L), (T, L, C), (N, C) -> (T, L, C)."""
    result = []
    for tree in range(TREES):
        joint = routing[:, tree, :, None] * q[tree]  # (N, L, C)
        responsibility = joint / joint.sum(dim=1, keepdim=True)
        sums = (labels[:, None] * responsibility).sum(dim=0).unflatten(1, (AXES, BINS))
        result.append((sums / sums.sum(dim=-1, keepdim=True)).flatten(1))
    return torch.stack(result)


def check(p: Problem) -> None:
    """Raise AssertionError unless both ways give the same probabilities and leaves."""
    ours, theirs = p.routing[0], historical_routing(p.plain_gates.detach())
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)
    leaves = bounding_step(p.routing, p.q, p.labels)[0].flatten(2)
    labels = p.labels.weights[0].flatten(1)
    expected = historical_leaf_step(p.plain_routing, p.q[0].flatten(2), labels)
    assert torch.allclose(leaves, expected, rtol=1e-3, atol=1e-7)


def milliseconds(step: Step, repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    return 1e3 * (time.perf_counter() - started) / repeats


def measure(p: Problem, quick: bool) -> dict[str, float]:
    """Time all parts in turn, block after block, so that a noisy machine slows all alike."""
    blocks, repeats = (3, 5) if quick else (9, 20)
    log_p = log_routing(p.gates)
    gradient = torch.rand(ROWS, TREES, LEAVES).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    flat_q, flat_labels = p.q[0].flatten(2), p.labels.weights[0].flatten(1)
    square, copy = torch.rand(1024, 1024), torch.empty_like(p.log_p)
    fast: dict[str, Step] = {
        "clone": lambda: torch.clone(p.log_p),
        "routing forward": lambda: log_routing(p.gates.detach()),
        "routing backward": lambda: torch.autograd.grad(
            log_p, p.gates, gradient, retain_graph=True
        ),
        "leaf step": lambda: bounding_step(p.routing, p.q, p.labels),
        "prediction": lambda: predict(p.routing, p.q),
        "whole step": p.whole_step,
        "copy in place": lambda: copy.copy_(p.log_p),
        "matmul 1024": lambda: square @ square,
    }
    slow: dict[str, Step] = {
        "historical: routing forward": lambda: historical_routing(p.plain_gates.detach()),
        "historical: leaf step": lambda: historical_leaf_step(p.plain_routing, flat_q, flat_labels),
    }
    for step in fast.values():
        milliseconds(step, 3)
    times: dict[str, list[float]] = {name: [] for name in fast | slow}
    for _ in range(blocks):
        for name, step in fast.items():
            times[name].append(milliseconds(step, repeats))
        for name, step in slow.items():
            times[name].append(milliseconds(step, 1))
    if not quick:  # half a minute: each of 16,384 indexings has a gradient as large as all gates
        times["historical: whole step"] = [milliseconds(p.historical_whole_step, 1)]
    return {name: statistics.median(values) for name, values in times.items()}


def bounds(ms: dict[str, float]) -> list[Bound]:
    """Return what bounds each part. Bytes are those that its passes read and write; the arrays
    stay in the cache, so the peak is that of copying one of their size there."""
    array = 4 * ROWS * TREES * LEAVES / 1e6  # MB of one log P
    flops_per_ms = 2 * 1024**3 / ms["matmul 1024"]
    mb_per_ms = 2 * array / ms["copy in place"]
    product = 2 * ROWS * TREES * LEAVES * CELLS  # P q, and each of the two like it
    predictions, leaves = 4 * ROWS * TREES * CELLS / 1e6, 4 * TREES * LEAVES * CELLS / 1e6
    matmul = array + predictions + leaves
    # forward: 3 passes over one array in place, then over each level 1 of two arrays, 4 of three
    forward, backward = (3 * 2 + 2 + 4 * 3) * array, (2 + 3 + 4) * array
    parts = {
        "routing forward": (20 * product / CELLS, forward),  # an exp and a log: about 40 operations
        "routing backward": (10 * product / CELLS, backward),
        "leaf step": (2 * product, 2 * matmul + 3 * predictions + 4 * leaves),
        "whole step": (
            3 * product + 40 * product / CELLS,
            forward + backward + 3 * matmul + 5 * array + 12 * predictions + 10 * leaves,
        ),
    }
    return [
        Bound(name, ms[name], flops / 1e9, mb, flops / flops_per_ms, mb / mb_per_ms)
        for name, (flops, mb) in parts.items()
    ]


def targets(ms: dict[str, float], leaves: LabelLeaves) -> list[Target]:
    held = sum(value.numel() * value.element_size() for value in leaves.buffers()) / 1e6
    forward, leaf = ms["routing forward"], ms["leaf step"]
    return [
        Target(
            "routing forward, times the historical",
            ms["historical: routing forward"] / forward,
            60,
            True,
        ),
        Target("routing forward, of a clone", forward / ms["clone"], 8, False),
        Target("leaf step, times the historical", ms["historical: leaf step"] / leaf, 50, True),
        Target("whole step, ms", ms["whole step"], 60, False),
        Target("leaves and their statistics, MB", held, 32, False),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    problem = Problem()
    check(problem)
    ms = measure(problem, arguments.quick)
    document = {
        "hardware": hardware.describe(torch.device("cpu")),
        "ms": ms,
        "targets": [asdict(t) | {"met": t.met} for t in targets(ms, problem.leaves)],
        "bounds": [asdict(b) | {"by": b.by} for b in bounds(ms)],
    }
    if arguments.json:
        json.dump(document, sys.stdout, indent=2)
        print()
        return
    print(f"{document['hardware']}; medians")
    for name, value in ms.items():
        print(f"  {name:<24} {value:10.2f} ms")
    for t in targets(ms, problem.leaves):
        sign, verdict = (">=" if t.at_least else "<="), ("met" if t.met else "MISSED")
        print(f"  {t.name:<36} {t.value:8.1f}   target {sign} {t.limit:g}: {verdict}")
    for b in bounds(ms):
        print(
            f"  {b.name:<18} {b.gflop:6.2f} GFLOP {b.compute_ms:6.2f} ms, {b.megabytes:5.0f} MB"
            f" {b.memory_ms:6.2f} ms at the peaks: bound by {b.by}"
        )


if __name__ == "__main__":
    run_script(main)
