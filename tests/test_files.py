"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

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
