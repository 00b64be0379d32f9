"""A batch that does not fit into memory is computed in parts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from drf import checkpoint, distributed
from drf.checkpoint import stored_state
from drf.errors import DrfError
from tests.training.conftest import Listener, Make, tiny

ON_GPU = torch.OutOfMemoryError("CUDA out of memory")
IN_ONEDNN = RuntimeError("could not create a primitive")


def with_room_for(trainer, faces: int, error: Exception = ON_GPU):
    """Let the model run out of memory with more faces."""
    forward = trainer.model.forward

    def limited(images):
        if len(images) > faces and torch.is_grad_enabled():
            raise error
        return forward(images)

    trainer.model.forward = limited
    return trainer


@pytest.mark.parametrize("error", [ON_GPU, IN_ONEDNN])
def test_it_is_halved_once_and_said_once(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    listener = Listener()
    with caplog.at_level(logging.WARNING):
        outcome = with_room_for(make(tiny(), listener), 4, error).run()
    assert outcome.state == "finished"
    assert [r.args for r in caplog.records if "does not fit" in r.msg] == [(16, 2), (16, 4)]
    assert [values.get("batch_parts") for _, values in listener.epochs] == [None, 4, 4, 4]
    assert [values["steps"] for _, values in listener.epochs] == [0, 3, 6, 9]
    saved = checkpoint.load(tmp_path / "run" / checkpoint.LAST)
    assert stored_state(saved).batch_parts == 4


def test_gradients_of_the_parts_add_up_to_those_of_the_batch(make: Make) -> None:
    """Without batch norm's statistics of the batch, which are those of each part."""

    def gradients(parts: int) -> list[torch.Tensor]:
        trainer = make(tiny())
        torch.manual_seed(0)
        for value in trainer.model.parameters():
            torch.nn.init.normal_(value, std=0.1)
        trainer.model.eval()
        trainer.state.batch_parts = parts
        images, points = torch.rand(16, 3, 32, 32), torch.rand(16, 68, 2)
        trainer._backward([(images, points)])
        return [p.grad for p in trainer.model.parameters() if p.grad is not None]

    for whole, added in zip(gradients(1), gradients(4), strict=True):
        torch.testing.assert_close(added, whole, rtol=1e-4, atol=1e-5)


def test_one_of_several_processes_repeats_no_step(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would wait for its sums in another layer."""
    trainer = with_room_for(make(tiny()), 4)
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    with pytest.raises(torch.OutOfMemoryError):
        trainer._backward([(torch.rand(16, 3, 32, 32), torch.rand(16, 68, 2))])
    assert trainer.state.batch_parts == 1


def test_one_face_that_does_not_fit_ends_the_run(make: Make) -> None:
    with pytest.raises(DrfError, match="not enough memory for training"):
        with_room_for(make(tiny()), 0).run()
