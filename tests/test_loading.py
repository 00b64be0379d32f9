"""`drf.load`: a model by its name, by its file, by its run; and files that are none."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import drf
from db.connection import open_store
from db.status import WITHOUT_MODEL
from drf.errors import DataError, DrfError, NotFoundError, UsageError
from drf.inference.onnx_network import FORMAT, LARGEST_ERROR, Description
from drf.landmarks.markup import IBUG68
from tests.conftest import REPOSITORY
from tests.db import examples
from tests.markups import FIVE
from tests.onnx_files import onnx, shape, write_model

IMAGE = np.zeros((120, 160, 3), dtype=np.uint8)


def test_a_file_gives_faces_in_pixels_of_the_image(tmp_path: Path) -> None:
    model = drf.load(write_model(tmp_path / "m.onnx", std=0.01))
    first, second = model(IMAGE, [[10, 20, 80, 80], [50, 10, 60, 40]])
    np.testing.assert_allclose(first.landmarks, [10, 20] + 80 * shape(IBUG68), atol=1e-3)
    np.testing.assert_allclose(first.std, 0.8, rtol=1e-4)
    np.testing.assert_allclose(first.covariances[:, 0, 1], 0)
    assert first.expected_error == pytest.approx(0.01 * 2**0.5, rel=1e-4)
    np.testing.assert_allclose(second.box, [50, 0, 60, 60])  # the square on the longer side
    assert (first.score, second.score) == (1, 1)
    assert model.markup == IBUG68


def test_the_home_folder_is_meant_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_model(tmp_path / "m.onnx")
    for path in ("~/m.onnx", Path("~/m.onnx")):
        assert drf.load(path).markup == IBUG68
    store = tmp_path / "drf.db"
    examples.filled_store(store)
    for db in ("~/drf.db", Path("~/drf.db"), None):
        if db is None:
            monkeypatch.setenv("DRF_DB", "~/drf.db")
        with pytest.raises(NotFoundError, match="no run has the name") as refused:
            drf.load("nobody", db=db)
        assert "no store" not in str(refused.value)
    with pytest.raises(UsageError, match="unknown user"):
        drf.load("nobody", db="~nobody-of-this-name/drf.db")


def test_an_empty_variable_is_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRF_DB", "")
    with pytest.raises(NotFoundError, match=r"no store runs/drf\.db"):
        drf.load("nobody")
    (tmp_path / "runs").mkdir()
    examples.filled_store(tmp_path / "runs/drf.db")
    with pytest.raises(NotFoundError, match="no run has the name"):
        drf.load("nobody")


def test_as_many_faces_as_there_are_boxes(tmp_path: Path) -> None:
    model = drf.load(write_model(tmp_path / "m.onnx"))
    assert model(IMAGE, np.empty((0, 4))) == []
    assert len(model(IMAGE, [[i, i, 40, 40] for i in range(70)])) == 70


def test_a_model_without_covariances_says_nan(tmp_path: Path) -> None:
    model = drf.load(write_model(tmp_path / "m.onnx", markup=FIVE, std=None))
    (face,) = model(IMAGE, [[10, 20, 80, 80]])
    assert face.landmarks.shape == (5, 2)
    assert np.isnan(face.covariances).all()
    assert np.isnan(face.expected_error)


def test_no_face_in_a_picture_without_one(tmp_path: Path) -> None:
    model = drf.load(write_model(tmp_path / "m.onnx"))
    assert model(IMAGE) == []
    assert model(np.zeros((1, 1, 3), dtype=np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert model(noise) == []


def test_what_the_model_expects_to_get_wrong_is_no_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = drf.load(write_model(tmp_path / "a.onnx", std=LARGEST_ERROR / 2))
    doubtful = drf.load(write_model(tmp_path / "b.onnx", std=LARGEST_ERROR))
    silent = drf.load(write_model(tmp_path / "c.onnx", std=None))
    from drf.inference.detection import Detections

    def found(self: object, picture: np.ndarray) -> Detections:
        return Detections(np.array([[60.0, 60.0, 80.0]]), np.array([0.9]))

    monkeypatch.setattr("drf.inference.detection.FaceDetector.__call__", found)
    assert [face.score for face in sure(IMAGE)] == [0.9]
    assert doubtful(IMAGE) == []
    assert len(doubtful(IMAGE, [[20, 20, 80, 80]])) == 1  # the user knows that there is one
    assert len(silent(IMAGE)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is no ONNX model"), (b"\x89PNG\r\n", "is no ONNX model"), (b"\x08" * 99, "no ONNX")],
)
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        drf.load(path)


def test_files_of_others_newer_ones_and_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not one of drf: write it with `drf export onnx`"):
        drf.load(write_model(tmp_path / "a.onnx", description=""))
    newer = json.loads(Description("m", 64, IBUG68).as_json()) | {"format": FORMAT + 1}
    with pytest.raises(UsageError, match="newer than this one: install that version"):
        drf.load(write_model(tmp_path / "b.onnx", description=json.dumps(newer)))
    for broken in ("{}", "[]", "not json", json.dumps(newer | {"format": 1, "markup": {}})):
        with pytest.raises(DataError, match="cannot be used"):
            drf.load(write_model(tmp_path / "c.onnx", description=broken))
    with pytest.raises(DataError, match="keeps its weights in another file"):
        drf.load(write_model(tmp_path / "d.onnx", external=True))
    other_size = Description("m", 32, IBUG68).as_json()
    with pytest.raises(DataError, match="is damaged"):
        drf.load(write_model(tmp_path / "e.onnx", description=other_size))
    with pytest.raises(DataError, match="cannot be read"):
        drf.load(tmp_path / "nothing.onnx")


def test_a_description_that_the_graph_does_not_keep_is_refused(tmp_path: Path) -> None:
    document = json.loads(Description("m", 64, IBUG68).as_json())
    deep = "[" * 100_000
    never = json.dumps(document | {"largest_expected_error": "nan"})
    endless = json.dumps(document | {"input": {"size": float("inf")}})
    long = json.dumps(document | {"largest_expected_error": 10**400})
    markup = document["markup"] | {"flip": [float("inf")]}
    nowhere = json.dumps(document | {"markup": markup})
    for broken in (deep, never, endless, long, nowhere):
        with pytest.raises(DataError, match="cannot be used"):
            drf.load(write_model(tmp_path / "a.onnx", description=broken))
    fewer = json.dumps(document | {"landmarks": "eyes"})
    model = drf.load(write_model(tmp_path / "b.onnx", description=fewer))
    with pytest.raises(DataError, match=r"b\.onnx is damaged"):
        model(IMAGE, [[10, 20, 80, 80]])
    of_five = Description("m", 64, FIVE).as_json()
    model = drf.load(write_model(tmp_path / "c.onnx", description=of_five))
    with pytest.raises(DataError, match=r"c\.onnx is damaged"):
        model(IMAGE, [[10, 20, 80, 80]])


def test_a_name_that_nothing_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRF_DB", str(tmp_path / "none.db"))
    with pytest.raises(NotFoundError, match="no released model 'cascade-forest-smal'"):
        drf.load("cascade-forest-smal")


def test_a_checkpoint_of_another_run_and_a_run_without_a_model_are_refused(tmp_path: Path) -> None:
    db = tmp_path / "drf.db"
    with contextlib.closing(open_store(db)) as store:
        run = examples.add_finished_run(store)
        mean, method = (examples.add_finished_run(store, family=f) for f in WITHOUT_MODEL)
    examples.write_checkpoint_of_another_run(db, run)
    with pytest.raises(
        DrfError, match=f"is not a checkpoint of run {run[:8]}: its run is 'another"
    ):
        drf.load(run, db=db)
    for other in (mean, method):
        with pytest.raises(
            NotFoundError, match=f"run {other[:8]} .* has no model: its predictions"
        ):
            drf.load(other, db=db)


def test_the_description_is_a_document_that_others_can_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", markup=FIVE)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    document = json.loads(properties["drf"])
    assert document["input"]["shape"] == ["faces", 64, 64, 3]
    assert document["markup"]["flip"] == list(FIVE.flip)
    assert "1.25" in document["box"]["sentence"]


def test_importing_drf_imports_nothing_and_predicting_brings_no_torch(tmp_path: Path) -> None:
    path, photo = write_model(tmp_path / "m.onnx"), tmp_path / "photo.png"
    Image.new("RGB", (90, 90)).save(photo)
    code = f"""
import sys, drf
ours = {{name for name in sys.modules if name.partition(".")[0] in ("drf", "db", "cli")}}
assert ours == {{"drf", "drf.version"}}, ours  # so it takes no time
heavy = {{"torch", "numpy", "cv2", "pandas", "onnxruntime", "sqlite3"}} & sys.modules.keys()
assert not heavy, heavy
import numpy
drf.load({str(path)!r})(numpy.zeros((90, 90, 3), dtype=numpy.uint8))
from cli.main import main
sys.argv = ["drf", "predict", {str(photo)!r}, "--model", {str(path)!r}, "--box", "9,9,60,60"]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
assert not {{"torch", "pandas", "scipy"}} & sys.modules.keys()
"""
    home = tmp_path / "home"
    home.mkdir()
    # onnxruntime would write there who runs it, and report it: microsoft/onnxruntime#27379.
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    env |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.iterdir())
