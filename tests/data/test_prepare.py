"""Archives that a user has: unpacked into one folder and nowhere else, checked, packed."""

from __future__ import annotations

import errno
import gzip
import io
import resource
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from drf.data import archives
from drf.data.archives import members, unpack
from drf.data.prepare import prepare
from drf.errors import DataError, UsageError, explain_os_error
from tests.data.made_up import write_folder
from tests.data.other_trees import write_wflw


def zipped(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, *members: tarfile.TarInfo, data: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def tree_of(folder: Path, path: Path) -> Path:
    """Write a zip or tar of all that is in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if path.suffix == ".zip":
        named = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
        return zipped(path, named)
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            archive.add(file, file.relative_to(folder).as_posix())
    return path


def test_wflws_two_archives_become_the_dataset(tmp_path: Path) -> None:
    whole = write_wflw(tmp_path / "whole", 10, 4)
    files = []
    for part in ("WFLW_images", "WFLW_annotations"):
        (tmp_path / part).mkdir()
        (whole / part).rename(tmp_path / part / part)
        files.append(tree_of(tmp_path / part, tmp_path / f"{part}.tar.gz"))
    root = tmp_path / "data/wflw"
    prepared = prepare("wflw", files, root)
    assert [len(digest) for digest in prepared.digests.values()] == [64, 64]
    found = {one.subset: one for one in prepared.report.subsets}
    assert (found["train"].faces, found["test"].faces) == (9, 4)
    assert found["test"].missing == ["test has 4 of 2500 faces"]
    assert {path.name for path in tmp_path.joinpath("data").iterdir()} == {"wflw"}
    with pytest.raises(UsageError, match="is not empty: name a new folder"):
        prepare("wflw", files, root)


def test_an_archive_named_as_a_folder_of_300w_is_its_content(tmp_path: Path) -> None:
    """afw.zip may have afw/1_1.jpg or 1_1.jpg, and what a Mac adds is left out."""
    write_folder(tmp_path / "in", "afw", 3)
    write_folder(tmp_path / "in", "helen/trainset", 2)
    inner = tree_of(tmp_path / "in/afw", tmp_path / "afw.zip")
    with zipfile.ZipFile(inner, "a") as archive:
        archive.writestr("__MACOSX/._1000_1.jpg", "companion")
        archive.writestr("._1000_1.jpg", "companion")
    write_folder(tmp_path / "other", "helen/trainset", 2)
    outer = tree_of(tmp_path / "other", tmp_path / "helen.zip")
    prepared = prepare("300w", [inner, outer], tmp_path / "300w")
    assert sorted(path.name for path in (tmp_path / "300w").iterdir()) == ["afw", "helen"]
    assert sum(one.faces for one in prepared.report.subsets) == 5
    assert not list((tmp_path / "300w").rglob("._*"))


def test_an_archive_of_the_folder_in_which_tar_ran_is_its_content(tmp_path: Path) -> None:
    """`tar czf afw.tar.gz .` writes the members ., ./1000_1.jpg and so on."""
    write_folder(tmp_path / "in", "afw", 3)
    with tarfile.open(tmp_path / "afw.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in/afw", ".")
    prepared = prepare("300w", [tmp_path / "afw.tar.gz"], tmp_path / "300w")
    assert sum(one.faces for one in prepared.report.subsets) == 3
    assert len(list((tmp_path / "300w/afw").iterdir())) == 6


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_paths_may_be_written_in_another_way(tmp_path: Path, suffix: str) -> None:
    """As `tar czf afw.tar.gz .` writes them."""
    names, file = ("./afw/1.pts", "afw//2.pts"), tmp_path / f"faces{suffix}"
    if suffix == ".zip":
        zipped(file, dict.fromkeys(names, ""))
    else:
        tarred(file, *map(member, names))
    unpack(file, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/afw").iterdir()) == ["1.pts", "2.pts"]


def test_what_is_not_the_dataset_leaves_nothing_behind(tmp_path: Path) -> None:
    file = zipped(tmp_path / "holiday.zip", {"beach.jpg": "?"})
    with pytest.raises(DataError, match="the archives do not hold wflw"):
        prepare("wflw", [file], tmp_path / "data/wflw")
    assert not list((tmp_path / "data").iterdir())
    with pytest.raises(UsageError, match="use one of 300w, wflw, cofw"):
        prepare("synthetic", [file], tmp_path / "synthetic")


def test_an_archive_that_is_not_as_published_is_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "COFW_color.zip", {"COFW_train_color.mat": "?"})
    with pytest.raises(DataError, match="its MD5 is not 8b21d126c4e1fb307cb463578eef0511"):
        prepare("cofw", [file], tmp_path / "cofw")
    assert not (tmp_path / "cofw").exists()


def linked(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return path


def header_bomb(path: Path) -> Path:
    """A tar whose first header says that a name of 1 GB follows, and has it: 1 MB packed."""
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**27
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(name.tobuf(tarfile.GNU_FORMAT))
        for _ in range(2**7):
            file.write(bytes(2**20))
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "climbs": (lambda d: zipped(d / "x.zip", {"../../x": "?"}), "leads out of the folder"),
    "absolute": (lambda d: zipped(d / "x.zip", {"/tmp/x": "?"}), "leads out of the folder"),
    "backslash": (lambda d: zipped(d / "x.zip", {"a\\..\\..\\x": "?"}), "leads out of the folder"),
    "climbs, tar": (lambda d: tarred(d / "x.tgz", member("a/../../x")), "leads out of the folder"),
    "link": (lambda d: linked(d / "x.zip"), "is a link, a device"),
    "link, tar": (
        lambda d: tarred(d / "x.tgz", member("a", tarfile.SYMTYPE, link="/etc")),
        "is a link, a device",
    ),
    "hard link": (
        lambda d: tarred(d / "x.tgz", member("a", tarfile.LNKTYPE, link="/etc/passwd")),
        "is a link, a device",
    ),
    "device": (lambda d: tarred(d / "x.tgz", member("a", tarfile.CHRTYPE)), "is a link, a device"),
    "a name too long": (lambda d: zipped(d / "x.zip", {"a" * 300: "?"}), "is no name of a file"),
    "a path too long": (lambda d: zipped(d / "x.zip", {"a/" * 600 + "b": "?"}), "is no name of a"),
    "a file for a folder": (
        lambda d: zipped(d / "x.zip", {"a": "?", "a/b": "?"}),
        "has 'a/b', but a file of that name is there",
    ),
    "a folder for a file": (
        lambda d: zipped(d / "x.zip", {"a/b": "?", "a": "?"}),
        "has 'a', but a file of that name is there",
    ),
    "bomb": (lambda d: zipped(d / "x.zip", {"a": bytes(80 * 2**20)}), "would unpack to"),
    "bomb of a header": (lambda d: header_bomb(d / "x.tgz"), "a header is too long"),
    "empty": (lambda d: zipped(d / "x.zip", {}).rename(d / "y.zip"), ""),
    "no archive": (lambda d: _text(d / "x.zip"), "no zip or tar archive"),
    "cut off": (
        lambda d: _cut(zipped(d / "x.zip", {"a": bytes(range(256)) * 99})),
        "no zip or tar",
    ),
    "not there": (lambda d: d / "x.zip", "is not a file"),
    "folder": (lambda d: d, "is not a file"),
}


def _text(path: Path) -> Path:
    path.write_text("not an archive " * 99)
    return path


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:100])
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_one_sentence_and_writes_nothing(tmp_path: Path, kind: str) -> None:
    given = tmp_path / "given"
    given.mkdir()
    make, said = HOSTILE[kind]
    file = make(given)
    root = tmp_path / "out/300w"
    with pytest.raises(DataError, match=said or "do not hold 300w") as refused:
        prepare("300w", [file], root)
    assert "\n" not in str(refused.value)
    assert not root.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) in (["given"], ["given", "out"])


def test_a_file_that_is_longer_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    file = zipped(tmp_path / "x.zip", {"a.txt": b"0123456789" * 100})
    data = bytearray(file.read_bytes())
    directory = data.rindex(b"PK\1\2")
    for at in (22, directory + 24):  # in the local header, and in the directory
        data[at : at + 4] = (10).to_bytes(4, "little")
    file.write_bytes(data)
    assert members(file)[0].size == 10
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError):
        unpack(file, tmp_path / "out")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    with pytest.raises(DataError, match="more than 3 files"):
        members(zipped(tmp_path / "x.zip", {str(i): "?" for i in range(4)}))


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_a_disk_that_takes_no_more_is_no_fault_of_the_archive(tmp_path: Path, suffix: str) -> None:
    """What is unpacked may have 100 kB a file here."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/large.bin").write_bytes(bytes(range(256)) * 1000)
    file = tree_of(tmp_path / "whole", tmp_path / f"x{suffix}")
    (tmp_path / "out").mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            unpack(file, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "would be larger than the file system" in str(explain_os_error(refused.value))


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_what_the_disk_says_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(errno, name)

    def refuse(*_: object) -> None:
        raise OSError(number, "as write(2) fails, which knows no name")

    file = zipped(tmp_path / "x.zip", {"a.txt": "a"})
    monkeypatch.setattr(archives, "_write", refuse)
    with pytest.raises(OSError, match="as write") as refused:
        unpack(file, tmp_path)
    assert refused.value.errno == number
    assert explain_os_error(refused.value) is not None
