"""Several processes train the network and the forest that one process trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drf import distributed
from drf.errors import UsageError
from tests.conftest import REPOSITORY
from tests.training.several_processes import FAMILIES

MODULE = "tests.training.several_processes"


def trained(file: Path, *launcher: str) -> dict[str, list[dict[str, float]]]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *launcher, MODULE, str(file), str(file.parent / "cache")]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    found: dict[str, list[dict[str, float]]] = json.loads(file.read_text())
    return found


@pytest.mark.slow
def test_two_processes_have_the_losses_and_metrics_of_one(tmp_path: Path) -> None:
    one = trained(tmp_path / "one.json")
    launcher = ("torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", "-m")
    two = trained(tmp_path / "two.json", *launcher)
    for family in FAMILIES:
        assert len(one[family]) == len(two[family]) == 3
        for mine, theirs in zip(one[family], two[family], strict=True):
            assert mine.keys() == theirs.keys()
            compared = {key for key in mine if key.startswith(("loss", "val_nme"))}
            assert compared
            for key in compared:
                assert theirs[key] == pytest.approx(mine[key], rel=1e-4), (family, key)


def test_a_batch_is_shared_evenly_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.share(5) == slice(0, 5)
    monkeypatch.setattr(distributed, "processes", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 3)
    assert distributed.share(16) == slice(12, 16)
    with pytest.raises(UsageError, match=r"18 faces does not divide .* training.batch_size to 16"):
        distributed.share(18)
