"""A committee answers with the mean of its members, and knows how far they disagree."""

from __future__ import annotations

import torch

from drf.models.committee import Committee
from drf.training.optimiser import Optimisers
from tests.models.test_families import batch, small


def committee(**changes: object) -> Committee:
    model = small("cascade-committee", **changes)
    assert isinstance(model, Committee)
    return model


def test_the_committee_answers_with_the_mean_of_members_that_differ() -> None:
    model = committee(**{"model.members": 3}).eval()
    images, _ = batch(model)
    outputs = model(images)
    alone = torch.stack([m.points(m(images)) for m in model.members])
    torch.testing.assert_close(model.points(outputs), alone.mean(dim=0))
    assert (alone[0] - alone[1]).abs().max() > 1e-4


def test_covariances_add_the_disagreement_of_the_members() -> None:
    model = committee().eval()
    outputs = model(batch(model)[0])
    covariances = model.covariances(outputs)
    assert covariances is not None
    first, second = (m.points(o) for m, o in zip(model.members, outputs, strict=True))
    inside = [m.covariances(o) for m, o in zip(model.members, outputs, strict=True)]
    for face in range(3):
        for k in (0, 40):
            half = (first[face, k] - second[face, k]) / 2  # two members: the mean is half way
            literal = (inside[0][face, k] + inside[1][face, k]) / 2 + torch.outer(half, half)
            torch.testing.assert_close(covariances[face, k], literal)


def test_each_member_learns_from_its_own_error_alone() -> None:
    model = committee().train()
    images, points = batch(model)
    outputs = model(images)
    loss, _ = model.members[0].loss(outputs[0], points)
    loss.backward()
    assert all(p.grad is None for p in model.members[1].parameters())
    total, parts = model.loss(outputs, points)
    own = [m.loss(o, points)[0] for m, o in zip(model.members, outputs, strict=True)]
    torch.testing.assert_close(total, (own[0] + own[1]) / 2)
    assert "stage1" in parts


def test_the_readings_are_of_the_committee_and_of_how_far_its_members_are() -> None:
    model = committee().eval()
    images, points = batch(model)
    outputs = model(images)
    read = model.diagnostics([outputs], points)
    apart = (model.points(outputs) - points).norm(dim=-1).mean()
    torch.testing.assert_close(read["l1_px"], 64 * float(apart.detach()))
    first, second = (m.points(o) for m, o in zip(model.members, outputs, strict=True))
    torch.testing.assert_close(
        read["members_px"], 64 * float((first - second).detach().norm(dim=-1).mean()) / 2
    )


def test_convolutions_of_every_member_learn_by_muon() -> None:
    model = committee()
    taken = Optimisers(model, "muon", 0.0).parts["muon"].param_groups[0]["params"]
    alone = Optimisers(model.members[0], "muon", 0.0).parts["muon"].param_groups[0]["params"]
    assert len(taken) == 2 * len(alone) > 0
