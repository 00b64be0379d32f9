"""Files that users bring are read whole, or refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drf.data.user_files import read_bytes
from drf.errors import DataError
from tests.db.privileges import permissions, without_privileges


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    path = tmp_path / "face.pts"
    path.write_bytes(b"1 1")
    size_of = os.fstat

    def then_changed(descriptor: int) -> os.stat_result:
        found = size_of(descriptor)
        os.truncate(path, 3 + change)
        return found

    monkeypatch.setattr(os, "fstat", then_changed)
    with pytest.raises(DataError, match=r"face\.pts changed while it was read"):
        read_bytes(path, 100)


def test_what_has_taken_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe under the name of a file that was there a moment ago."""
    path, pipe = tmp_path / "face.jpg", tmp_path / "pipe"
    path.write_bytes(b"picture")
    os.mkfifo(pipe)
    opened = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: opened(pipe, flags))
    with pytest.raises(DataError, match=r"face\.jpg is not a regular file"):
        read_bytes(path, 100)


def test_a_file_without_permission_is_refused_also_where_its_folder_has_none(
    tmp_path: Path,
) -> None:
    path = tmp_path / "afw" / "face.pts"
    path.parent.mkdir()
    path.write_bytes(b"1 1")
    for closed in (path, path.parent):
        with (
            permissions(closed, 0),
            without_privileges(),
            pytest.raises(DataError, match=r"face.pts cannot be read \(Permission denied\)"),
        ):
            read_bytes(path, 100)
