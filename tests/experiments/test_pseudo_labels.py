"""Pictures that a model labelled become training faces beside those of 300-W."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drf.data.dataset import open_dataset
from drf.data.pts import format_pts, read_pts
from drf.data.w300 import W300
from drf.errors import DataError, UsageError
from experiments.pseudo_labels import agreed, main, make
from experiments.scripts import run_script
from tests.data.made_up import write_face, write_folder

REAL = 40
LABELLED = 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_folder(tmp_path / "300w", "afw", REAL)
    return tmp_path / "300w"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(LABELLED):
        write_face(tmp_path / "pictures", f"{number:03}")
    return tmp_path / "pictures"


def faces(folder: Path, subset: str) -> set[str]:
    return {face.name for face in open_dataset("folder", folder).subset(subset).faces}


def test_pictures_are_a_subset_of_their_own_until_their_labels_are_trusted(
    root: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "round"
    assert make([pictures], pictures, root, out, keep=0.9) == (REAL, LABELLED)
    assert len(faces(out, "pseudo")) == LABELLED
    val = {face.name.replace("/", "__") for face in W300(root).subset("val").faces}
    assert {name.removeprefix("real/") for name in faces(out, "val")} == val
    assert len(faces(out, "train")) == REAL - len(val)
    with pytest.raises(UsageError, match="exists"):
        make([pictures], pictures, root, out, keep=0.9)


def test_pictures_on_which_models_disagree_are_left_out_of_the_training(
    root: Path, pictures: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    moved = {"003", "007"}
    for label in pictures.glob("*.pts"):
        points = read_pts(label) + (5.0 if label.stem in moved else 0.2)
        (other / label.name).write_text(format_pts(points))
    out = tmp_path / "mixed"
    assert make([pictures, other], pictures, root, out, keep=0.8) == (REAL, 8)
    kept = {f"pseudo/{number:03}" for number in range(LABELLED)} - {f"pseudo/{m}" for m in moved}
    train = faces(out, "train")
    assert {name for name in train if name.startswith("pseudo")} == kept
    assert len(train) == REAL - len(faces(out, "val")) + 8
    mean, first = (read_pts(folder / "001.pts") for folder in (out / "pseudo", pictures))
    np.testing.assert_allclose(mean, first + 0.1, atol=1e-3)


def test_the_disagreement_is_divided_by_the_distance_of_the_eyes(pictures: Path) -> None:
    """On a large face models may differ by more px than on a small one."""
    shape = read_pts(pictures / "000.pts")
    one = np.stack([shape, shape * 4])
    other = np.stack([shape + 1, shape * 4 + 2])
    assert agreed(np.stack([one, other]), keep=0.5).tolist() == [False, True]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures_that_viewers_turn_are_refused(
    root: Path, pictures: Path, tmp_path: Path, suffix: str
) -> None:
    """Their labels are in px of what a viewer shows: a dataset has the pictures as stored."""
    for number, orientation in ((0, None), (1, 1), (2, 0), (3, 3), (4, 6)):
        with Image.open(pictures / f"{number:03}.jpg") as stored:
            exif = Image.Exif()
            if orientation is not None:
                exif[0x0112] = orientation
            (pictures / f"{number:03}.jpg").unlink()
            stored.save(pictures / f"{number:03}{suffix}", exif=exif)
    with pytest.raises(DataError, match=r"2 of 10 pictures have an EXIF orientation") as refused:
        make([pictures], pictures, root, tmp_path / "out", keep=0.9)
    assert f"'003{suffix}', '004{suffix}'" in str(refused.value)
    assert not (tmp_path / "out").exists()
    for number in (3, 4):
        (pictures / f"{number:03}{suffix}").unlink()
    assert make([pictures], pictures, root, tmp_path / "out", keep=0.9) == (REAL, LABELLED - 2)


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan"), float("inf")])
def test_a_share_that_is_none_is_one_sentence(
    root: Path, pictures: Path, tmp_path: Path, keep: float
) -> None:
    with pytest.raises(UsageError, match="a share above 0 and at most 1 is needed"):
        make([pictures, pictures], pictures, root, tmp_path / "out", keep=keep)


def test_all_pictures_may_be_kept(root: Path, pictures: Path, tmp_path: Path) -> None:
    found = make([pictures, pictures], pictures, root, tmp_path / "out", keep=1.0)
    assert found == (REAL, LABELLED)


def test_what_the_script_cannot_do_is_a_sentence_with_the_exit_code_of_drf(
    root: Path, pictures: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def said(code: int, **changed: object) -> str:
        options = {"pictures": pictures, "data-root": root, "out": tmp_path / "out", **changed}
        words = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        monkeypatch.setattr("sys.argv", ["experiments/pseudo_labels.py", str(pictures), *words])
        with pytest.raises(SystemExit) as ended:
            run_script(main)
        assert ended.value.code == code
        err = capsys.readouterr().err
        assert (err.startswith("pseudo_labels: "), err.count("\n")) == (True, 1), err
        return str(err)

    assert "there is no folder" in said(2, pictures=tmp_path / "none")
    assert "there is no folder" in said(2, pictures=pictures / "000.jpg")
    assert "--keep 1.5" in said(2, keep=1.5)

    def refused(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("experiments.pseudo_labels.link_face", refused)
    assert "no space left on the disk" in said(1)
    assert not (tmp_path / "out").exists()


def test_labels_of_other_pictures_are_one_sentence(
    root: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match=r"has no \.pts file of a picture"):
        make([tmp_path / "none"], pictures, root, tmp_path / "out", keep=0.9)
    assert not (tmp_path / "out").exists()
