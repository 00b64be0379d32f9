"""Members of a committee learn side by side, in threads, and to the digits of one after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from drf import checkpoint, registry
from drf.config import RunConfig
from drf.distributed import Threads
from drf.landmarks.markup import IBUG68
from drf.training.loop import Trainer
from experiments.request import Request, configure
from tests.training.conftest import Listener, Make

PAIR = {
    "data.input_size": 32,
    "data.landmarks": "eyes",
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 2,
    "model.global_context_dim": 8,
    "training.batch_size": 16,
    "training.epochs": 1,
    "training.precision": "fp32",
    "training.deterministic": True,
}


def pair(**changes: object) -> RunConfig:
    options = PAIR | {key.replace("__", "."): value for key, value in changes.items()}
    return configure(Request("cascade-forest-pair", options=options)).config


def with_threads(trainer: Trainer, count: int) -> Trainer:
    """Let learners compute so many at a time; all else computes with one thread, as they do."""
    torch.set_num_threads(count)
    trainer.threads = Threads(len(trainer.learners), trainer.device)
    torch.set_num_threads(1)
    assert trainer.threads.count == count
    return trainer


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("own", "aligned", "precision"), [(True, 1, "bf16"), (True, 0, "fp32"), (False, 0, "fp32")]
)
def test_threads_change_no_digit(
    make: Make, tmp_path: Path, own: bool, aligned: int, precision: str
) -> None:
    config = pair(
        model__own_batches=own, model__aligned_members=aligned, training__precision=precision
    )
    heard, held = {}, {}
    for threads in (1, 2):
        heard[threads], folder = Listener(), tmp_path / str(threads)
        assert with_threads(make(config, heard[threads], folder), threads).run().epochs == 1
        held[threads] = checkpoint.load(folder / checkpoint.LAST).tensors
    assert heard[1].epochs == heard[2].epochs
    assert held[1].keys() == held[2].keys()
    assert all(torch.equal(held[1][name], held[2][name]) for name in held[1])


def test_gradients_are_those_of_the_committees_loss(make: Make) -> None:
    trainer = make(pair(model__dropout=0.0))
    model = trainer.model
    images, points = torch.rand(16, 3, 32, 32), torch.rand(16, 12, 2)
    model.train().set_progress(0.5)
    _, losses = trainer._backward([(images, points)] * 2)
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    loss, parts = model.loss(model(images), points)
    loss.backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(losses["loss"], loss.detach())
    torch.testing.assert_close(losses["loss_stage2"], parts["stage2"].detach())


@pytest.mark.parametrize(("own", "streams"), [(True, 2), (False, 1)])
def test_each_member_gets_faces_of_its_own_where_it_should(
    make: Make, own: bool, streams: int
) -> None:
    trainer = make(pair(model__own_batches=own))
    drawn: list[tuple[list[int], Tensor]] = []
    draw = trainer.batches.draw

    def kept(index, generator):
        batch = draw(index, generator)
        drawn.append((index.tolist(), batch[0]))
        return batch

    trainer.batches.draw = kept  # type: ignore[method-assign]
    trainer._start()
    drawn.clear()
    trainer._epoch()
    steps = len(trainer.batches) // trainer.batch
    assert len(drawn) == streams * steps
    if own:
        first, second = drawn[0], drawn[1]
        assert first[0] != second[0]
    for stream in range(streams):  # each sees every face once
        seen = [face for index, _ in drawn[stream::streams] for face in index]
        assert sorted(seen) == list(range(48))


def test_what_fails_in_a_thread_is_raised_when_all_have_ended() -> None:
    ended: list[int] = []

    def task(number: int) -> int:
        if number == 0:
            raise ValueError("the first")
        ended.append(number)
        return number

    torch.set_num_threads(2)
    threads = Threads(3, torch.device("cpu"))
    assert threads.count == 2
    with pytest.raises(ValueError, match="the first"):
        threads.map(task, range(3))
    assert sorted(ended) == [1, 2]
    assert threads.map(task, [5, 4, 3]) == [5, 4, 3]


def test_a_step_that_does_not_fit_is_halved_for_all_members(make: Make) -> None:
    trainer = with_threads(make(pair()), 2)
    forward = trainer.learners[1].forward

    def limited(images: Tensor) -> object:
        if len(images) > 8 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(images)

    trainer.learners[1].forward = limited  # type: ignore[method-assign]
    assert trainer.run().state == "finished"
    assert trainer.state.batch_parts == 2


def test_other_families_are_one_learner() -> None:
    model = registry.build(configure(Request("hourglass")).config, IBUG68)
    assert model.learners == [model]
    assert not model.own_batches
