"""Finds out whether a path lies on a network file system.

SQLite's write-ahead log keeps its index in shared memory, which hosts do not share, and the locks
of network file systems are often not what they claim: the store would be damaged silently.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

NETWORK_TYPES = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "gpfs", "glusterfs", "lustre", "nfs"),
        *("nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "webdav", "macfuse_sshfs"),
        *("fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)


def network_type(path: Path) -> str | None:
    """Return the type of the network file system that holds `path` (it need not exist), or None."""
    # psutil reads /proc/self/mounts on Linux and getfsstat elsewhere, escapes resolved.
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    kind = filesystem_of(path.resolve(), mounts)
    return kind if kind in NETWORK_TYPES else None


def filesystem_of(path: Path, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Return the type of the deepest mount above an absolute `path`; of equals the last.

    mounts: (mount point, type) in the order in which they were mounted.
    """
    kind, depth = None, -1
    for point, fstype in mounts:
        mount = Path(point)
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            kind, depth = fstype.lower(), len(mount.parts)
    return kind
