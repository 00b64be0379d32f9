"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drf import files, processes
from drf.errors import UsageError
from drf.files import replacing_file, replacing_folder


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("first", "second"):
        with replacing_file(path) as unfinished:
            unfinished.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("precious")
    with pytest.raises(KeyboardInterrupt), replacing_file(path) as unfinished:  # noqa: PT012
        unfinished.write_text("half")
        unfinished.with_name(unfinished.name + "-wal").write_text("of a database")
        raise KeyboardInterrupt
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_may_not_be_replaced_is_not_even_where_it_comes_meanwhile(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    with (  # noqa: PT012
        pytest.raises(UsageError, match="overwrite nothing"),
        replacing_file(path, overwrite=False) as unfinished,
    ):
        unfinished.write_text("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    with (
        pytest.raises(UsageError, match="overwrite nothing"),
        replacing_file(path, overwrite=False),
    ):
        raise AssertionError("refused before the block")
    with (
        pytest.raises(UsageError, match="does not exist"),
        replacing_file(tmp_path / "no" / "a.txt", overwrite=False),
    ):
        raise AssertionError("refused before the block")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "site"
    for name in ("old", "new"):
        with replacing_folder(path) as filled:
            (filled / name).write_text(name)
    assert [entry.name for entry in path.iterdir()] == ["new"]
    with pytest.raises(ValueError, match="no"), replacing_folder(path) as filled:  # noqa: PT012
        (filled / "broken").write_text("half")
        raise ValueError("no")
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_of_several_to_fill_a_folder_counts(tmp_path: Path) -> None:
    path = tmp_path / "pack"

    def whole(folder: Path) -> bool:
        return (folder / "whole").exists()

    with replacing_folder(path, keep=whole) as mine:
        with replacing_folder(path, keep=whole) as theirs:
            (theirs / "whole").write_text("theirs")
        (mine / "whole").write_text("mine")
    assert (path / "whole").read_text() == "theirs"
    (path / "whole").rename(path / "damaged")
    with replacing_folder(path, keep=whole) as mine:
        (mine / "whole").write_text("mine")
    assert [entry.name for entry in path.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site"
    path.mkdir()
    (path / "old").write_text("old")
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name == "filled":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="no"), replacing_folder(path) as filled:
        (filled / "new").write_text("new")
    assert [entry.name for entry in path.iterdir()] == ["old"]


def process_that_ended() -> int:
    """The id of a process of this machine that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    here, gone = processes.host(), process_that_ended()
    left = tmp_path / f"{files.UNFINISHED}{here}-{gone}-0a"
    for suffix in ("", "-wal", "-journal"):
        left.with_name(left.name + suffix).write_text("half a file")
    (tmp_path / f"{files.UNFINISHED}{here}-{gone}-0b" / "filled" / "deep").mkdir(parents=True)
    (tmp_path / f"{files.UNFINISHED}{here}-{gone}-0c").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    with replacing_file(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "precious"]


def test_what_others_are_at_work_on_stays(tmp_path: Path) -> None:
    """Of this machine while the process lives, of another one until it has not changed for a day;
    version 0.1.0 named neither."""
    others = [f"{processes.host()}-{os.getpid()}-0a", "0123abcd-1-0b", "12345-a.txt"]
    paths = [tmp_path / f"{files.UNFINISHED}{other}" for other in others]
    for path in paths:
        path.mkdir()
        (path / "crops.npy").write_text("half")
    files.sweep(tmp_path)
    assert all(path.exists() for path in paths)
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in paths[1:]:
        for part in (path / "crops.npy", path):
            os.utime(part, (two_days_ago, two_days_ago))
    files.sweep(tmp_path)
    assert [path.exists() for path in paths] == [True, False, False]


def test_a_folder_whose_replacement_was_killed_comes_back(tmp_path: Path) -> None:
    """The former folder has been moved away, the new one is not yet in its place."""
    killed = (
        "import os, pathlib\n"
        "from drf.files import replacing_folder\n"
        "rename = pathlib.Path.rename\n"
        "def until_moved(self, target):\n"
        "    rename(self, target)\n"
        "    os._exit(9)\n"
        "pathlib.Path.rename = until_moved\n"
        "with replacing_folder(pathlib.Path('site')) as filled:\n"
        "    (filled / 'new').write_text('new')\n"
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old").write_text("old")
    where = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, env=where, check=False)
    assert not (tmp_path / "site").exists()
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site" / "old").read_text() == "old"
