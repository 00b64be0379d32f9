from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from drf.data.check import check_dataset
from drf.data.w300 import SUBSETS, TEST_SIZES, W300, in_val, photo_of
from drf.errors import DataError
from tests.data.made_up import SIDE, picture_of, points_of, pts_text, write_face, write_folder


def names(subset) -> list[str]:
    return [face.name for face in subset.faces]


# --- real faces


def test_real_training_faces_are_all_there(real_faces):
    dataset = W300(real_faces)
    faces = [*dataset.subset("train").faces, *dataset.subset("val").faces]
    counts = Counter(face.name.rpartition("/")[0] for face in faces)
    on_disk = {folder: len(list((real_faces / folder).glob("*.pts"))) for folder in counts}
    assert counts == on_disk
    if sum(on_disk.values()) == 2012:  # the part of 300-W that the project's figures are for
        assert counts == {"afw": 337, "helen/trainset": 870, "lfpw/trainset": 805}
    assert len({face.name for face in faces}) == len(faces)


def test_real_photos_never_straddle_train_and_val(real_faces):
    dataset = W300(real_faces)
    train, val = dataset.subset("train"), dataset.subset("val")
    assert not {face.photo for face in train.faces} & {face.photo for face in val.faces}
    assert max(Counter(face.photo for face in train.faces).values()) > 3  # AFW: crowds
    assert 0.08 < len(val.faces) / (len(train.faces) + len(val.faces)) < 0.12


def test_real_helen_test_set(real_faces):
    dataset = W300(real_faces)
    subset = dataset.subset("helen")
    assert len(subset.faces) == 330
    assert not subset.skipped
    for face in subset.faces[:20]:
        height, width, channels = dataset.picture(face).shape
        assert channels == 3
        assert (face.points > -0.5).all()
        assert (face.points < [width, height]).all()


def test_real_faces_have_their_right_side_on_the_left_of_the_picture(real_faces):
    """Holds for every face that looks at the camera; x and y swapped or mirrored would break it."""
    points = np.stack([face.points for face in W300(real_faces).subset("helen").faces])
    assert (points[:, 36, 0] < points[:, 45, 0]).mean() > 0.99
    assert (points[:, 27, 1] < points[:, 8, 1]).mean() > 0.99


# --- subsets of a made-up tree


def test_a_complete_tree_has_every_subset(tmp_path):
    for folder in ("afw", "helen/trainset", "lfpw/trainset"):
        write_folder(tmp_path, folder, 30)
    for folder, size in TEST_SIZES.items():
        write_folder(tmp_path, folder, size)
    dataset = W300(tmp_path)
    sizes = {name: len(dataset.subset(name).faces) for name in SUBSETS}
    assert sizes["train"] + sizes["val"] == 90
    del sizes["train"], sizes["val"]
    theirs = {"helen": 330, "lfpw": 224, "common": 554, "challenging": 135, "full": 689}
    assert sizes == theirs | {"private": 600, "indoor": 300, "outdoor": 300}
    assert names(dataset.subset("common")) == [
        *names(dataset.subset("lfpw")),
        *names(dataset.subset("helen")),
    ]


@pytest.mark.parametrize("inside", ["", "300W"])
def test_the_test_set_of_the_challenge_is_read_where_its_archive_puts_it(
    tmp_path, monkeypatch, inside
):
    for folder in ("01_Indoor", "02_Outdoor"):
        kind = folder[3:].lower()
        for number in (1, 2, 10):
            write_face(tmp_path / inside, f"{folder}/{kind}_{number:03d}", ".png")
    dataset = W300(tmp_path)
    with pytest.raises(DataError, match="01_Indoor holds 3 of 300 faces"):
        dataset.subset("private")
    with pytest.raises(DataError, match="no complete test subset"):
        dataset.default_test_subset()
    for folder in ("01_Indoor", "02_Outdoor"):
        monkeypatch.setitem(TEST_SIZES, folder, 3)
    assert dataset.default_test_subset() == "private"
    assert names(dataset.subset("outdoor")) == [f"02_Outdoor/outdoor_{n:03d}" for n in (1, 2, 10)]
    assert len(names(dataset.subset("private"))) == 6
    assert dataset.picture(dataset.subset("indoor").faces[0]).shape == (SIDE, SIDE, 3)
    reports = {found.subset: found for found in check_dataset(tmp_path).subsets}
    assert (reports["private"].faces, reports["private"].state) == (6, "present")
    assert reports["private"].n_faults == 0


def test_a_tree_without_the_challenge_is_not_asked_for_it(tmp_path):
    write_folder(tmp_path, "ibug", 2)
    assert not {"private", "indoor"} & {found.subset for found in check_dataset(tmp_path).subsets}


def test_train_uses_what_is_there(tmp_path):
    written = write_folder(tmp_path, "lfpw/trainset", 40)
    dataset = W300(tmp_path)
    both = [*names(dataset.subset("train")), *names(dataset.subset("val"))]
    assert sorted(both) == sorted(written)


@pytest.mark.parametrize(
    ("face", "photo"),
    [
        ("afw/1051618982_1", "afw/1051618982"),
        ("helen/trainset/2115806866_3", "helen/trainset/2115806866"),
        ("lfpw/trainset/image_0001", "lfpw/trainset/image_0001"),
        ("ibug/image_003_1", "ibug/image_003_1"),
    ],
)
def test_the_photo_of_a_face(face, photo):
    assert photo_of(face) == photo


def test_val_is_a_tenth_and_never_moves():
    chosen = [i for i in range(5000) if in_val(f"afw/{i}")]
    assert 400 < len(chosen) < 600
    assert chosen[:5] == [i for i in range(chosen[4] + 1) if in_val(f"helen/trainset/{i}")]
    assert chosen[:4] == [0, 7, 9, 10]  # moving it would put old runs' training faces into val


def test_the_one_photo_of_val_in_a_small_set_is_in_val_under_all_its_folders(tmp_path):
    numbers = [i for i in range(30) if not in_val(f"afw/{i}")][:6]
    for folder in ("afw", "helen/trainset"):
        for number in numbers:
            write_face(tmp_path, f"{folder}/{number}_1")
    dataset = W300(tmp_path)
    train, val = names(dataset.subset("train")), names(dataset.subset("val"))
    assert len(val) == 2
    assert len({photo_of(name).rpartition("/")[2] for name in val}) == 1
    assert len(train) == 10


def test_all_spellings_of_the_files_are_read(tmp_path):
    write_face(tmp_path, "afw/a_1", ".png", header=False)
    write_face(tmp_path, "afw/b_1", ".JPG")
    write_face(tmp_path, "afw/image_092 _01", ".jpeg")
    write_face(tmp_path, "afw/a_1_mirror")  # some mirrors of 300-W hold flipped copies
    (tmp_path / "afw/c_1.PTS").write_text(pts_text(points_of("c")))
    write_face(tmp_path, "afw/c_1", ".png")
    (tmp_path / "afw/c_1.pts").unlink()
    dataset = W300(tmp_path)
    faces = {f.name: f for s in ("train", "val") for f in _subset_or_none(dataset, s)}
    assert sorted(faces) == ["afw/a_1", "afw/b_1", "afw/c_1", "afw/image_092 _01"]
    np.testing.assert_array_equal(faces["afw/a_1"].points, points_of("afw/a_1").astype(np.float32))
    np.testing.assert_array_equal(dataset.picture(faces["afw/a_1"]), picture_of("afw/a_1"))


def _subset_or_none(dataset, name):
    try:
        return dataset.subset(name).faces
    except DataError:
        return ()


def test_the_exif_orientation_is_ignored(tmp_path):
    write_face(tmp_path, "afw/a_1")
    path = tmp_path / "afw/a_1.jpg"
    wide = picture_of("afw/a_1")[: SIDE // 2]
    jpeg = cv2.imencode(".jpg", wide[..., ::-1])[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turn by 90
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])
    assert cv2.imread(str(path)).shape == (SIDE, SIDE // 2, 3)  # OpenCV's default would turn it
    dataset = W300(tmp_path)
    face = (*_subset_or_none(dataset, "train"), *_subset_or_none(dataset, "val"))[0]
    assert dataset.picture(face).shape == (SIDE // 2, SIDE, 3)


# --- what is wrong with a folder


def sentence(callable_, *args) -> str:
    with pytest.raises(DataError) as caught:
        callable_(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_root_that_is_not_there(tmp_path):
    assert f"no folder {tmp_path / 'gone'}" in sentence(W300, tmp_path / "gone")


def test_a_root_one_level_too_high_or_too_low_names_the_right_one(tmp_path):
    root = tmp_path / "sets/300w"
    write_folder(root, "helen/trainset", 1)
    for wrong in (root.parent, root / "helen", root / "helen/trainset"):
        assert f"{wrong} is not the root of 300-W: name {root}" in sentence(W300, wrong)


def test_a_root_of_something_else_or_of_nothing_or_a_file(tmp_path):
    assert "holds nothing and no folder of 300-W" in sentence(W300, tmp_path)
    (tmp_path / "pictures").mkdir()
    assert "holds pictures and no folder of 300-W" in sentence(W300, tmp_path)
    (tmp_path / "300w.zip").write_bytes(b"PK")
    assert "is a file: unpack it" in sentence(W300, tmp_path / "300w.zip")


def test_a_test_subset_that_is_not_all_there_names_what_is_missing(tmp_path):
    write_folder(tmp_path, "helen/testset", 330)
    (tmp_path / "helen/testset/1007_1.jpg").unlink()
    write_folder(tmp_path, "ibug", 3)
    dataset = W300(tmp_path)
    text = sentence(dataset.subset, "full")
    assert "lfpw/testset is missing (224 faces)" in text
    assert "helen/testset holds 329 of 330 faces (of 1007_1 its picture is missing)" in text
    assert "ibug holds 3 of 135 faces" in text
    assert "no training faces" in sentence(dataset.subset, "train")


def test_an_unknown_subset_names_the_known(tmp_path):
    write_folder(tmp_path, "afw", 1)
    assert "use one of train, val, helen" in sentence(W300(tmp_path).subset, "test")


def break_pts(root: Path, name: str) -> None:
    (root / f"{name}.pts").write_text(pts_text(points_of(name)[:67]))


def test_one_bad_face_among_many_is_skipped_with_its_reason(tmp_path):
    written = write_folder(tmp_path, "helen/trainset", 250)
    in_train = [name for name in written if not in_val(photo_of(name))]
    break_pts(tmp_path, in_train[3])
    (tmp_path / f"{in_train[7]}.jpg").unlink()
    subset = W300(tmp_path).subset("train")
    assert subset.skipped == {
        in_train[3]: f"{Path(in_train[3]).name}.pts declares n_points 67 instead of 68",
        in_train[7]: "its picture is missing",
    }
    assert names(subset) == [n for n in in_train if n not in subset.skipped]


def test_more_than_one_percent_bad_is_an_error_with_counts(tmp_path):
    written = write_folder(tmp_path, "helen/trainset", 150)
    in_train = [name for name in written if not in_val(photo_of(name))]
    for name in in_train[:2]:
        break_pts(tmp_path, name)
    text = sentence(W300(tmp_path).subset, "train")
    assert f"2 of the {len(in_train)} faces of subset 'train'" in text
    assert in_train[0] in text
    assert in_train[1] in text


def test_the_fingerprint_follows_the_files(tmp_path):
    written = write_folder(tmp_path, "helen/testset", 330)

    def fingerprint() -> str:
        return W300(tmp_path).fingerprint("helen")

    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / f"{written[0]}.pts").write_text(pts_text(points_of("another")))
    second = fingerprint()
    assert second != first
    write_face(tmp_path, written[1], suffix=".png")  # preferred to the .jpg beside it
    assert fingerprint() not in (first, second)


def test_what_the_dataset_knows_by_name(tmp_path):
    write_folder(tmp_path, "afw", 2)
    (tmp_path / "afw/1001_1.pts").unlink()
    dataset = W300(tmp_path)
    assert dataset.has_face("afw/1000_1")
    assert dataset.has_face("afw/1001_1")  # there, if not usable
    assert not dataset.has_face("afw/999_1")
    assert not dataset.has_face("elsewhere/1000_1")
