"""`drf predict`: photos of any kind in, landmarks out, and one sentence for what is no photo."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from drf.data.pts import read_pts
from drf.landmarks.markup import IBUG68
from tests.cli.conftest import Drf
from tests.onnx_files import shape, write_model

BOX = "10,20,80,80"
TRUTH = [10, 20] + 80 * shape(IBUG68)

HUGE = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
"""The header of a PNG file of 20,000 x 20,000 pixels."""


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx")


def photo(path: Path, width: int = 160, height: int = 120) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def landmarks(answer: object) -> np.ndarray:
    (found,) = answer.json["photos"]  # type: ignore[attr-defined]
    (face,) = found["faces"]
    return np.array(face["landmarks"])


def test_json_holds_everything(drf: Drf, model: Path, tmp_path: Path) -> None:
    file = photo(tmp_path / "a.jpg")
    answer = drf("predict", file, "--model", model, "--box", BOX, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["markup"] == "ibug68"
    (found,) = answer.json["photos"]
    assert (found["photo"], found["width"], found["height"]) == (str(file), 160, 120)
    (face,) = found["faces"]
    np.testing.assert_allclose(face["landmarks"], TRUTH, atol=1e-3)
    np.testing.assert_allclose(face["box"], [10, 20, 80, 80])
    np.testing.assert_allclose(face["covariances"][5], [[0.64, 0], [0, 0.64]], rtol=1e-4)
    assert face["score"] == 1


def test_csv_and_tables_give_standard_deviations(drf: Drf, model: Path, tmp_path: Path) -> None:
    words = ("predict", photo(tmp_path / "a.png"), "--model", model, "--box", BOX)
    rows = list(csv.DictReader(io.StringIO(drf(*words, "--csv").out)))
    assert len(rows) == 68
    assert rows[30]["title"] == "30 · nose bridge, tip"
    assert float(rows[30]["std_x"]) == pytest.approx(0.8, rel=1e-4)
    out = drf(*words).out
    assert "face 1: square of 80 px at 10, 20, score 1.00, expected error 1.1 px" in out
    assert "30 · nose bridge, tip" in out


def test_the_name_of_a_photo_steers_no_terminal(drf: Drf, model: Path, tmp_path: Path) -> None:
    file = photo(tmp_path / "a\x1b.png")
    out = drf("predict", file, "--model", model, "--box", BOX).out
    assert "\x1b" not in out
    assert r"a\x1b.png, face 1: square of 80 px" in out


def test_a_spreadsheet_runs_no_name_of_a_photo(
    drf: Drf, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "=cmd.png")
    monkeypatch.chdir(tmp_path)
    out = drf("predict", "=cmd.png", "--model", model, "--box", BOX, "--csv").out
    assert {row["photo"] for row in csv.DictReader(io.StringIO(out))} == {"'=cmd.png"}


def test_faces_that_the_model_expects_to_get_wrong_can_be_left_out(
    drf: Drf, model: Path, tmp_path: Path
) -> None:
    """The model expects an error of sqrt(2) % of the box's side everywhere."""
    file = photo(tmp_path / "a.jpg")
    words = ("predict", file, "--model", model, "--box", BOX, "--reject-above")
    kept = drf(*words, "1.42", "--json")
    assert kept.code == 0
    assert kept.json["photos"][0]["faces"][0]["expected_error"] == pytest.approx(0.01 * 2**0.5)
    left_out = drf(*words, "1.41", "--json")
    assert left_out.code == 3
    assert left_out.json["photos"][0]["faces"] == []
    assert "1 of 1 faces left out, whose expected error is above 1.41 %" in left_out.err
    assert "raise --reject-above" in left_out.err
    assert drf(*words, "-1").code == 2


def test_a_folder_with_boxes_becomes_pts_files_and_overlays(
    drf: Drf, model: Path, tmp_path: Path
) -> None:
    for name in ("a.jpg", "b.png"):
        photo(tmp_path / "in" / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    (tmp_path / "in/._a.jpg").write_bytes(b"what macOS keeps of a.jpg on other disks")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("name,x,y,w,h\na.jpg,10,20,80,80\nb,10,20,80,80\nb,30,30,60,60\n")
    pts, overlays = tmp_path / "pts", tmp_path / "drawn"
    answer = drf(
        *("predict", tmp_path / "in", "--model", model, "--boxes", boxes),
        *("--pts", pts, "--overlay", overlays),
    )
    assert answer.code == 0, answer.err
    assert len(answer.out.splitlines()) == 3  # a line for each face
    assert sorted(f.name for f in pts.iterdir()) == ["a.pts", "b_1.pts", "b_2.pts"]
    np.testing.assert_allclose(read_pts(pts / "a.pts"), TRUTH, atol=1e-3)
    assert sorted(f.name for f in overlays.iterdir()) == ["a.jpg", "b.jpg"]
    assert cv2.imread(str(overlays / "a.jpg")).shape == (120, 160, 3)
    there = ["._a.jpg", "a.jpg", "b.png", "notes.txt"]
    assert sorted(f.name for f in (tmp_path / "in").iterdir()) == there


def test_landmarks_of_a_photo_never_replace_those_of_another(
    drf: Drf, model: Path, tmp_path: Path
) -> None:
    """Two faces of a.jpg are a_1.pts and a_2.pts, and the one of a_1.jpg would be a_1.pts too."""
    several, one, other = "a.jpg", "a_1.jpg", "other.jpg"
    files = {several: ["a_1", "a_2"], one: ["a_1"], other: ["other"]}
    photo(tmp_path / "first" / several)
    photo(tmp_path / "then" / one)
    photo(tmp_path / "then" / other)
    boxes = tmp_path / "boxes.csv"
    rows = (f"{several},10,20,80,80", f"{several},30,30,60,60", f"{one},40,30,50,50")
    boxes.write_text("\n".join(("name,x,y,w,h", *rows, f"{other},10,20,80,80", "")))
    for order, kept in (
        (("first", "then"), [several, other]),
        (("then", "first"), [one, other]),
    ):
        pts = tmp_path / f"pts-{order[0]}"
        folders = [tmp_path / name for name in order]
        answer = drf(
            *("predict", *folders, "--model", model, "--boxes", boxes, "--pts", pts, "--json")
        )
        assert answer.code == 2
        assert "would both become a_1.pts" in answer.err
        assert answer.err.count("\n") == 1
        faces = {Path(p["photo"]).name: p.get("faces") for p in answer.json["photos"]}
        assert {name for name, found in faces.items() if found} == set(kept)
        assert {f.stem for f in pts.iterdir()} == {file for name in kept for file in files[name]}
        for name in kept:
            for file, face in zip(files[name], faces[name], strict=True):
                written = read_pts(pts / f"{file}.pts")
                np.testing.assert_allclose(written, face["landmarks"], atol=1e-3)


def test_a_photo_is_turned_as_its_exif_says(drf: Drf, model: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (160, 120)).save(tmp_path / "turned.jpg", exif=exif)
    answer = drf(
        *("predict", tmp_path / "turned.jpg", "--model", model, "--box", "10,125,20,20", "--json")
    )
    assert answer.code == 0, answer.err
    assert (answer.json["photos"][0]["width"], answer.json["photos"][0]["height"]) == (120, 160)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "CMYK", "1", "animated"])
def test_every_kind_of_picture_is_read(drf: Drf, model: Path, tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("p.jpg" if mode == "CMYK" else "p.gif" if mode == "animated" else "p.png")
    if mode == "animated":
        frames = [Image.new("RGB", (160, 120), (40 * i, 0, 0)) for i in range(3)]
        frames[0].save(file, save_all=True, append_images=frames[1:])
    else:
        Image.new(mode, (160, 120)).save(file)
    answer = drf("predict", file, "--model", model, "--box", BOX, "--json")
    assert answer.code == 0, answer.err
    np.testing.assert_allclose(landmarks(answer), TRUTH, atol=1e-3)


def test_what_is_no_photo_or_no_box_is_one_sentence(drf: Drf, model: Path, tmp_path: Path) -> None:
    def said(code: int, *words: object) -> str:
        answer = drf("predict", *words, "--model", model)
        assert answer.code == code, answer.err
        assert answer.err.count("\n") == 1, answer.err
        return answer.err

    good = photo(tmp_path / "good.jpg")
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    assert "text.jpg is truncated or not a picture" in said(2, text)
    huge = tmp_path / "huge.png"
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", HUGE) + chunk(b"IDAT", b""))
    assert "too many pixels" in said(2, huge)
    assert "no face found in" in said(3, photo(tmp_path / "one.png", 1, 1))
    assert "there is no file or folder" in said(3, tmp_path / "nothing.jpg")
    assert "no file matches" in said(3, tmp_path / "*.bmp")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "contains no pictures" in said(3, empty)
    assert "lies outside the image of 160 x 120" in said(2, good, "--box", "500,0,10,10")
    assert "four numbers" in said(2, good, "--box", "nan,0,10,10")
    assert "four numbers" in said(2, good, "--box", "1,2,3")
    assert "single photo" in said(2, good, text, "--box", BOX)
    assert "exclude each other" in said(2, good, "--csv", "--json")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("name,x,y,w,h\nother,1,1,9,9\n")
    assert "has no box for good.jpg" in said(2, good, "--boxes", boxes)
    assert "contains the photos themselves" in said(2, good, "--overlay", tmp_path)
    twin = photo(tmp_path / "twin" / "good.png")
    assert "would both become good.pts" in said(2, good, twin, "--pts", tmp_path / "out")


def test_a_broken_photo_among_others_does_not_stop_them(
    drf: Drf, model: Path, tmp_path: Path
) -> None:
    photo(tmp_path / "in/b.jpg")
    (tmp_path / "in/a.jpg").write_bytes(b"")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("name,x,y,w,h\na,10,20,80,80\nb,10,20,80,80\n")
    words = ("predict", tmp_path / "in", "--model", model, "--boxes", boxes)
    answer = drf(*words, "--json")
    assert answer.code == 2
    assert "a.jpg" in answer.err
    broken, whole = answer.json["photos"]
    assert len(whole["faces"]) == 1
    assert len(list(csv.DictReader(io.StringIO(drf(*words, "--csv").out)))) == 68
    assert "truncated" in broken["error"]


def test_a_model_that_nothing_has(drf: Drf, tmp_path: Path) -> None:
    answer = drf("predict", photo(tmp_path / "a.jpg"), "--model", "nobody")
    assert answer.code == 3
    assert "no released model 'nobody'" in answer.err
