"""A member that sees the face aligned: its maps, what it learns from, and where it answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.errors import UsageError
from drf.landmarks import geometry
from drf.landmarks.markup import Markup
from drf.models.aligned_forest import AlignedForest, AlignedOutputs, Similarities
from drf.models.base import InputSpec
from drf.models.committee import Committee
from tests.models.test_families import batch, small

PAIR = {"model.members": 2, "model.aligned_members": 1}


def committee(**changes: object) -> Committee:
    model = small("cascade-committee", **PAIR, **changes)
    assert isinstance(model, Committee)
    return model


def aligned_member(model: Committee) -> AlignedForest:
    member = model.members[1]
    assert isinstance(member, AlignedForest)
    return member


def maps(n: int = 4, seed: int = 0) -> Similarities:
    """Turned by up to 40 degrees, scaled by 0.7 to 1.3, shifted."""
    draw = torch.Generator().manual_seed(seed)
    angle = (torch.rand(n, generator=draw) - 0.5) * math.radians(80)
    scale = 0.7 + 0.6 * torch.rand(n, generator=draw)
    linear = torch.stack([angle.cos() * scale, angle.sin() * scale], dim=1)
    return Similarities(linear, torch.rand(n, 2, generator=draw) * 0.2)


def matrices(of: Similarities) -> Tensor:
    """(B, 2, 2), written as the class has its equation."""
    a, b = of.linear.unbind(dim=1)
    return torch.stack([torch.stack([a, -b], dim=1), torch.stack([b, a], dim=1)], dim=1)


def points(n: int = 4, k: int = 7, seed: int = 5) -> Tensor:
    return torch.rand(n, k, 2, generator=torch.Generator().manual_seed(seed))


def test_a_map_is_a_turn_a_scale_and_a_shift() -> None:
    of, x = maps(), points()
    literal = torch.einsum("bij,bkj->bki", matrices(of), x) + of.shift[:, None]
    torch.testing.assert_close(of(x), literal)
    torch.testing.assert_close(of.inverse(of(x)), x)
    before = maps(seed=1)
    torch.testing.assert_close(of.after(before)(x), of(before(x)))


def test_a_covariance_turns_and_scales_with_the_map() -> None:
    of = maps()
    root = torch.rand(4, 7, 2, 2, generator=torch.Generator().manual_seed(2))
    covariances = root @ root.mT
    a = matrices(of)[:, None]
    torch.testing.assert_close(of.spread(covariances), a @ covariances @ a.mT)


def test_the_fit_is_the_least_squares_one() -> None:
    shape, found = points(1)[0], points(seed=6)
    fitted = Similarities.fit(shape, found)
    shapes = np.broadcast_to(shape.double().numpy(), (4, 7, 2))
    expected = geometry.similarities(shapes, found.double().numpy())
    torch.testing.assert_close(matrices(fitted).double(), torch.from_numpy(expected[:, :, :2]))
    torch.testing.assert_close(fitted.shift.double(), torch.from_numpy(expected[:, :, 2]))


def test_missing_landmarks_are_left_out_of_the_fit() -> None:
    shape, of = points(1)[0], maps(3)
    found = of(shape.expand(3, -1, -1)).clone()
    found[0, 2:] = torch.nan  # two are left, which is enough
    found[1] = torch.nan
    found[2] = found[2, :1]  # all in one place
    fitted = Similarities.fit(shape, found)
    torch.testing.assert_close(fitted.linear[0], of.linear[0])
    torch.testing.assert_close(fitted.shift[0], of.shift[0])
    torch.testing.assert_close(fitted.linear[1:], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(fitted.shift[1], torch.zeros(2))


def test_a_picture_is_cut_where_the_points_are_taken() -> None:
    """A picture whose red is x and whose green is y shows at each pixel where it was taken from."""
    size, of = 32, maps(3)
    cells = (torch.arange(size) + 0.5) / size
    x, y = cells.expand(size, size), cells[:, None].expand(size, size)
    picture = torch.stack([x, y, torch.zeros_like(x)]).expand(3, -1, -1, -1)
    seen = of.cut(picture)
    taken = of(torch.stack([x, y], dim=-1).flatten(0, 1).expand(3, -1, -1)).unflatten(1, (size, -1))
    inside = ((taken > 0.5 / size) & (taken < 1 - 0.5 / size)).all(dim=-1)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(seen[:, :2].permute(0, 2, 3, 1)[inside], taken[inside])
    assert seen[~inside[:, None].expand_as(seen)].isfinite().all()


def test_an_exported_cut_takes_any_number_of_faces() -> None:
    class Cut(torch.nn.Module):
        def forward(self, images: Tensor, found: Tensor) -> Tensor:
            return Similarities.fit(shape, found).cut(images)

    shape, faces = points(1)[0], torch.export.Dim("faces", min=1)
    traced = (torch.rand(2, 3, 16, 16), points(2))
    exported = torch.export.export(Cut(), traced, dynamic_shapes=({0: faces}, {0: faces}))
    for n in (1, 5):
        seen = (torch.rand(n, 3, 16, 16), points(n))
        torch.testing.assert_close(exported.module()(*seen), Cut()(*seen))


def test_the_answer_is_in_the_box_of_the_picture() -> None:
    """y = A y' + t and C = A C' A^T, of what the forest says of the picture that it is shown."""
    model = committee().eval()
    member, (images, labels) = aligned_member(model), batch(model)
    with torch.no_grad():
        outputs = model(images)
        found = model.members[0].points(outputs[0])
        by = Similarities.fit(member.shape, found)
        alone = member(by.cut(images))
        torch.testing.assert_close(member.points(outputs[1]), by(member.points(alone)))
        expected, seen = member.covariances(alone), member.covariances(outputs[1])
        assert expected is not None
        assert seen is not None
        torch.testing.assert_close(seen, by.spread(expected))
        torch.testing.assert_close(model.points(outputs), (found + by(member.points(alone))) / 2)
        loss = member.loss(outputs[1], labels)[0]
        torch.testing.assert_close(loss, member.loss(alone, by.inverse(labels))[0])
        read = member.diagnostics([outputs[1]], labels)
        literal = (member.points(alone) - by.inverse(labels)).norm(dim=-1).mean()
        torch.testing.assert_close(read["l1_px"], 64 * float(literal))


def test_several_members_that_align_take_the_mean_of_the_first_ones() -> None:
    model = small("cascade-committee", **{"model.members": 4, "model.aligned_members": 2}).eval()
    images, _ = batch(model)
    with torch.no_grad():
        outputs = model(images)
    assert [isinstance(one, AlignedOutputs) for one in outputs] == [False, False, True, True]
    found = torch.stack([model.members[i].points(outputs[i]) for i in (0, 1)]).mean(dim=0)
    for i in (2, 3):
        expected = Similarities.fit(model.members[i].shape, found)
        torch.testing.assert_close(outputs[i].maps.linear, expected.linear)


def test_a_training_step_shows_faces_that_their_labels_align() -> None:
    """Up to the drawn error: a turn of at most 6 degrees, and 2.5 standard deviations."""
    model = committee()
    member = aligned_member(model)
    shape = member.shape.expand(50, -1, -1)
    labels = maps(50)(shape)
    model.seed_draws(3)
    images = torch.rand(50, 3, 64, 64)
    seen, moved = member.training_view(images, labels)
    assert seen.shape == images.shape
    off = Similarities.fit(member.shape, moved)
    turn = torch.atan2(off.linear[:, 1], off.linear[:, 0]).rad2deg()
    assert 5 < turn.abs().max() <= 6.01
    scale = off.linear.norm(dim=1).log()
    assert 0.02 < scale.std() < 0.06
    assert scale.abs().max() <= 2.5 * 0.04 + 1e-4
    model.seed_draws(3)
    again, points_again = member.training_view(images, labels)
    assert torch.equal(seen, again)
    assert torch.equal(moved, points_again)
    first_images, first_points = model.members[0].training_view(images, labels)
    assert first_images is images
    assert first_points is labels


def test_in_training_the_member_learns_in_its_own_frame() -> None:
    model = committee().train()
    member, (images, labels) = aligned_member(model), batch(model)
    seen, moved = member.training_view(images, labels)
    outputs = member(seen)
    loss, _ = member.loss(outputs, moved)
    loss.backward()
    member.leaf_step(outputs, moved)
    assert all(p.grad is not None for p in member.backbone.parameters())
    assert all(p.grad is None for p in model.members[0].parameters())


def test_what_cannot_be_aligned_is_refused() -> None:
    with pytest.raises(UsageError, match="leaves none of the 2 members"):
        small("cascade-committee", **(PAIR | {"model.aligned_members": 2}))
    one = InputSpec(64, Markup("one", {"nose": (0,)}, (0,), {}))
    with pytest.raises(UsageError, match="two landmarks or more, and there is one"):
        Committee(aligned_member(committee()).config, one)  # type: ignore[arg-type]
