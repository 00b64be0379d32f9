from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from db.connection import NETWORK_TYPES, filesystem_of, network_type, open_reader, open_store
from drf.errors import StoreError

MOUNTS = [
    ("/", "ext4"),
    ("/home", "nfs4"),
    ("/home/me/local", "xfs"),
    ("/mnt", "ext4"),
    ("/mnt", "CIFS"),  # mounted over the other
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/drf.db", "ext4"),
        ("/home/me/drf.db", "nfs4"),
        ("/home/me/local/drf.db", "xfs"),
        ("/homeless/drf.db", "ext4"),
        ("/mnt/share/drf.db", "cifs"),
    ],
)
def test_the_deepest_and_last_mount_holds_the_file(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_a_system_that_tells_no_mounts_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [])
    assert network_type(Path("drf.db")) is None


def test_local_disks_are_local() -> None:
    assert not NETWORK_TYPES & {"ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "apfs", "ntfs"}


@pytest.fixture
def on_nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    root = SimpleNamespace(mountpoint="/", fstype="nfs4")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [root])


@pytest.mark.usefixtures("on_nfs")
def test_a_store_is_not_made_on_a_network_disk(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk.*db backup"):
        open_store(tmp_path / "new" / "drf.db")
    assert not (tmp_path / "new").exists()


def test_a_backup_may_be_read_from_a_network_disk_but_a_store_in_use_not(
    tmp_path: Path, filled: list[str], path: Path, request: pytest.FixtureRequest
) -> None:
    from db.maintenance.backup import back_up

    con = open_reader(path)
    back_up(con, tmp_path / "copy.db")
    con.close()
    request.getfixturevalue("on_nfs")
    with pytest.raises(StoreError, match="network file system"):
        open_reader(path)
    copy = open_reader(tmp_path / "copy.db")
    assert copy.execute("SELECT count(*) FROM runs").fetchone() == (len(filled),)
    copy.close()
