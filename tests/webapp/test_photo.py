"""Try a photo: landmarks and doubt of a visitor's photo, which is stored nowhere."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

import drf
from drf.data.synthetic_dataset import SyntheticDataset
from drf.inference import photos
from drf.inference.alignment import AlignedFace
from drf.landmarks.markup import IBUG68
from tests.webapp.conftest import Shop, opened, texts
from webapp import photo

PAGE = "views/photo.py"
HEADER = b"IHDR" + (20_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
HUGE = b"".join(
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\r" + HEADER + zlib.crc32(HEADER).to_bytes(4),
        b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4),
    ]
)
"""A picture of 20,000 x 20,000 px, as its header says."""


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def two_faces() -> bytes:
    """A photo of two synthetic faces."""
    dataset = SyntheticDataset(size=10)
    made = [dataset.picture(face) for face in dataset.subset("train").faces[:2]]
    side = min(min(picture.shape[:2]) for picture in made)
    return png(np.hstack([picture[:side, :side] for picture in made]))


def given(name: str, data: bytes):
    """The page after somebody dropped a photo on it."""
    app = opened(PAGE)
    assert not app.exception
    app.file_uploader[0].set_value((name, data, "image/png")).run()
    assert not app.exception
    return app


def test_faces_of_a_photo_are_drawn_and_said_with_the_models_doubt(shop: Shop, two_faces: bytes):
    app = given("two.png", two_faces)
    assert [element.value for element in app.subheader] == ["2 faces found"]
    assert len(app.get("image")) == 3  # the photo, and each face large
    assert texts(app).count("Expected error: ") == 2
    assert "research only" in texts(app)  # the model's card


def test_the_parts_of_a_face_are_measured_as_the_whole_is():
    """Mean over the landmarks of the square root of the trace: a mean of roots, for both."""
    variances = np.linspace(1, 9, 68)
    covariances = variances[:, None, None] * np.eye(2)
    face = AlignedFace(np.zeros((68, 2)), covariances, np.array([0.0, 0.0, 100.0]), 1.0)
    jaw, mouth = np.sqrt(2 * variances[:17]).mean(), np.sqrt(2 * variances[60:]).mean()
    said = photo.doubt(face, IBUG68)
    assert f"smallest at the jaw ({jaw:.1f} px), largest at the inner lip ({mouth:.1f} px)" in said
    assert f"Expected error: {np.sqrt(2 * variances).mean():.1f} px" in said


def test_what_is_downloaded_is_what_the_command_prints(two_faces: bytes):
    model = drf.load()
    located = photos.locate_in(model, "=two.png", two_faces)
    document = json.loads(photo.as_json(located, "cascade-forest-small", model.markup))
    assert list(document) == ["model", "markup", "photos"]
    assert len(document["photos"][0]["faces"]) == 2
    header, *rows = photo.as_csv(located, model.markup).splitlines()
    assert header == ",".join(photos.COLUMNS)
    assert len(rows) == 2 * model.markup.n_points
    assert "\n".join(rows) + "\n" == photos.csv_lines(located, model.markup)  # the command's
    assert rows[0].startswith("'=two.png,1,0,")  # a spreadsheet does not run it


def test_a_photo_without_a_face_is_a_sentence(shop: Shop):
    app = given("grey.png", png(np.full((90, 120, 3), 128, np.uint8)))
    assert "No face found." in app.info[0].value
    assert not app.error


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("text.png", b"not a picture", "is truncated or not a picture"),
        ("huge.png", HUGE, "too many pixels"),
        ("<b>x</b>.png", b"", "is truncated or not a picture"),
    ],
)
def test_what_is_no_photo_is_one_sentence(shop: Shop, name: str, data: bytes, said: str):
    app = given(name, data)
    (sentence,) = (element.value.replace("\\", "") for element in app.error)
    assert said in sentence


def test_a_photo_may_be_pasted_or_taken_by_the_camera(shop: Shop, two_faces: bytes):
    app = opened(PAGE, photo_from="Clipboard")
    app.chat_input[0].upload("image.png", two_faces, "image/png").run()
    assert [element.value for element in app.subheader] == ["2 faces found"]
    app.run()  # whatever else is clicked
    assert [element.value for element in app.subheader] == ["2 faces found"]
    app = opened(PAGE, photo_from="Camera")
    app.camera_input[0].set_value(("camera.jpg", two_faces, "image/jpeg")).run()
    assert [element.value for element in app.subheader] == ["2 faces found"]


def test_a_server_that_takes_no_photos_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(photo.SWITCH, "off")
    app = opened(PAGE)
    assert not app.file_uploader
    assert "does not take photos" in app.info[0].value


@pytest.mark.parametrize(
    ("value", "on"), [("", True), ("on", True), ("1", True), ("off", False), ("0", False)]
)
def test_the_switch_is_off_by_any_other_word(monkeypatch, value: str, on: bool):
    monkeypatch.setenv(photo.SWITCH, value)
    assert photo.switched_on() is on


def test_an_upload_of_the_largest_size_is_never_written_to_a_disk(monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("an upload was written to a disk")

    photo.keep_uploads_in_memory()
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refused)
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n'
    body = head + bytes(photo.MOST_MEGABYTES * 2**20) + b"\r\n--b--\r\n"

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def uploaded() -> UploadFile:
        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        form = await Request({"type": "http", "headers": headers}, receive).form()
        return form["f"]

    assert asyncio.run(uploaded()).size == photo.MOST_MEGABYTES * 2**20
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 2**20)
    with pytest.raises(AssertionError):  # what would happen without it
        asyncio.run(uploaded())


def test_a_photo_leaves_no_file(shop: Shop, two_faces: bytes, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given("two.png", two_faces)
    assert not list(tmp_path.iterdir())
