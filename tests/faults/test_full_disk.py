"""A disk that is full: one sentence that says so, nothing lost, nothing left over.

The disk is a file system of 4 MB in memory. Where it cannot be mounted (that takes root), these
tests are skipped; `tests/data/test_cache.py` has one with a limit on the size of files.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import cli.main
from db import reads
from db.connection import open_reader, open_store
from db.maintenance import integrity
from db.maintenance.backup import back_up
from db.maintenance.bundle import select, write_bundle
from db.recording import evaluations
from drf import checkpoint
from drf.data.packs import pack
from drf.data.synthetic_dataset import SyntheticDataset
from tests.db import examples
from webapp.static_site.site import write_site


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The root of a file system of 4 MB."""
    root = tmp_path / "disk"
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no small disk can be mounted: {error}")
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield root
    subprocess.run(["umount", "--lazy", str(root)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk but for so many bytes; return the file to delete for having room again."""
    found = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(found.f_bavail * found.f_frsize - leave))
    return ballast


def told(work: Callable[[], object]) -> str:
    """Return the sentence that a user reads where work finds the disk full."""
    with pytest.raises(Exception, match=r".") as caught:
        work()
    explained = cli.main._explain(caught.value)
    assert explained is not None, repr(caught.value)
    assert explained.exit_code == 1
    sentence = str(explained)
    assert "\n" not in sentence
    assert any(advice in sentence for advice in ("make room", "free some")), sentence
    return sentence


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "ballast"}


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(disk: Path) -> None:
    path = disk / "last.safetensors"
    checkpoint.save(path, {"a": torch.zeros(1000)}, {"epoch": 1})
    before = contents(disk)
    fill(disk, leave=100_000)
    assert str(path) in told(lambda: checkpoint.save(path, {"a": torch.zeros(10**6)}, {"epoch": 2}))
    assert contents(disk) == before
    assert checkpoint.load(path).header == {"epoch": 1}


def test_a_store_on_a_full_disk_keeps_what_it_has(disk: Path) -> None:
    path = disk / "drf.db"
    examples.filled_store(path)
    ballast = fill(disk, leave=50_000)
    store = open_store(path)
    (run, *_) = reads.runs(store.conn)["id"]
    n = len(reads.evaluations(store.conn, run))
    result = examples.evaluation(400, seed=5)

    def record() -> None:
        evaluations.record_evaluation(store, run, result, examples.crops(result))

    told(record)
    assert len(reads.evaluations(store.conn, run)) == n
    ballast.unlink()
    assert integrity.faults(store.conn) == []
    record()
    assert len(reads.evaluations(store.conn, run)) == n + 1
    store.close()


def test_a_pack_that_does_not_fit_leaves_nothing(disk: Path) -> None:
    assert "5 MB" in told(lambda: pack(SyntheticDataset(size=25), "train", cache_dir=disk))
    assert contents(disk) == {}


@pytest.mark.parametrize("kind", ["backup", "bundle", "static"])
def test_an_export_that_does_not_fit_leaves_nothing(disk: Path, tmp_path: Path, kind: str) -> None:
    examples.filled_store(tmp_path / "drf.db")
    target = disk / "export"
    if kind == "static":
        target.mkdir()  # an export may be replaced, here an empty one
    fill(disk, leave=20_000)
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as con:
        chosen = select(con)
        work = {
            "backup": lambda: back_up(con, target),
            "bundle": lambda: write_bundle(con, target, chosen, images=True),
            "static": lambda: write_site(con, target, chosen, faces=2, images=True),
        }[kind]
        told(work)
        assert integrity.faults(con) == []
    left = [path.name for path in disk.iterdir() if path.name != "ballast"]
    assert left == (["export"] if kind == "static" else [])
    if kind == "static":
        assert not list(target.iterdir())
