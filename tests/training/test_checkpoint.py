"""Checkpoints are whole or absent, and what is not one is told apart."""

from pathlib import Path

import pytest
import torch

from drf import checkpoint
from drf.errors import DrfError, NotFoundError


def test_round_trip_with_header(tmp_path: Path) -> None:
    tensors = {"model.a": torch.arange(3.0), "b": torch.tensor(2, dtype=torch.int64)}
    checkpoint.save(
        tmp_path / "deep" / "x.safetensors", tensors, {"epoch": 3, "best": float("inf")}
    )
    loaded = checkpoint.load(tmp_path / "deep" / "x.safetensors")
    assert loaded.header == {"epoch": 3, "best": float("inf")}
    assert torch.equal(loaded.under("model.")["a"], tensors["model.a"])
    assert torch.equal(loaded.tensors["b"], tensors["b"])


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(NotFoundError, match="no checkpoint"):
        checkpoint.load(path)
    checkpoint.save(path, {"a": torch.zeros(1000)}, {})
    whole = path.read_bytes()
    for damaged in (b"", b"junk", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DrfError, match="damaged or no checkpoint"):
            checkpoint.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DrfError, match="no checkpoint of drf"):
        checkpoint.load(tmp_path / "foreign.safetensors")
