"""What runs on every batch never waits for the device: on fake tensors, which have no values, any
call that needs one (.item(), a branch, a size that depends on data) is an error."""

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from drf.forest.gates import SplitGates
from drf.forest.gaussian_leaves import GaussianLeaves
from drf.forest.label_leaves import LabelLeaves, divergence
from drf.forest.labels import Labels, without_near_empty
from drf.forest.leaf_updates import RidgeLeaves
from drf.forest.routing import balance, hard_leaves, log_routing, probabilities, top_leaves

N, T, DEPTH = 6, 2, 3


@pytest.fixture(autouse=True)
def without_values() -> Iterator[None]:
    with FakeTensorMode():
        yield


def test_that_a_synchronisation_would_be_seen() -> None:
    with pytest.raises(DataDependentOutputException):
        torch.rand(3).sum().item()


def log_p() -> torch.Tensor:
    layer = SplitGates(5, T, DEPTH)
    layer.set_steepness(3.0)
    gates = layer(torch.randn(N, 5))
    hard_leaves(gates)
    return log_routing(gates, torch.ones(()))


def test_a_step_of_label_leaves() -> None:
    leaves = LabelLeaves(1, T, 2**DEPTH, 2, 16)
    routing = probabilities(log_p())[None]
    labels = Labels(without_near_empty(torch.rand(1, N, 2, 16), 0.3))
    predictions = leaves(routing)
    information = balance(log_p()).information.mean()
    (divergence(predictions, labels) - information).backward()
    leaves.update(routing.detach(), labels, predictions.detach())
    top_leaves(log_p(), 2)


def test_a_step_of_gaussian_leaves() -> None:
    leaves = GaussianLeaves(T, 2**DEPTH, 4)
    y, log_routes = torch.rand(N, 4), log_p()
    (-leaves.log_likelihood(y, log_routes).mean()).backward()
    leaves.update(y, log_routes.detach())
    leaves.em_step(y, leaves.log_prior().expand(N, T, 2**DEPTH))


def test_a_step_of_ridge_leaves() -> None:
    leaves = RidgeLeaves(T, 2**DEPTH, 4)
    routing = probabilities(log_p()).transpose(0, 1)
    leaves.update(routing.detach(), torch.rand(T, N, 4))
    leaves.refit()
    leaves(routing).sum().backward()
