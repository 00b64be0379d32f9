"""The row ERT: dlib trained on packed crops, recorded as a run like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.contest import ert, rows, runs
from benchmarks.contest.ert_method import ErtMethod
from benchmarks.contest.settings import Budget, ContestSettings
from db import reads
from db.connection import open_reader
from drf.data.boxes import gt_boxes
from drf.data.packs import pack
from drf.data.synthetic_dataset import SIZES, SyntheticDataset
from drf.errors import DrfError, UsageError
from drf.landmarks.markup import IBUG68
from experiments.evaluate import EvaluationSpec
from experiments.paths import Paths

ROW = next(row for row in rows.ROWS if row.kind == "ert")
TRIAL = Budget("synthetic", 10.0, 1, epochs=1, settings=("data.synthetic_train_size=60",))


def test_without_dlib_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs dlib: pip install 'drf\[peers\]'"):
        ert.require_dlib()


def test_the_published_settings_are_those_of_a_real_contest() -> None:
    real = ContestSettings(Paths(Path("drf.db"), None, None, None), Budget("300w", 10.0, 2))
    assert ErtMethod(ROW, real).options == ert.ErtConfig(12, 500, 4, 10, 0.1)
    assert ert.ErtConfig(2, 3, depth=1).params(68) == 2 * 3 * (2 * 136 + 1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ContestSettings:
    """A contest on 60 faces and 40 of val, where ERT has been trained and evaluated on val."""
    pytest.importorskip("dlib", reason="dlib is not installed: pip install 'drf[peers]'")
    folder = tmp_path_factory.mktemp("ert")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "val", 40)
        here = ContestSettings(Paths(folder / "drf.db", None, None, folder / "cache"), TRIAL)
        method = ErtMethod(ROW, here)
        run = method.train(3)
        assert runs.find(ROW, 3, here) == run
        for flip in (True, False):
            method.evaluate(run, EvaluationSpec("val", "gt", flip_test=flip))
        yield here


def test_ert_is_on_the_board_with_what_made_it(settings: ContestSettings) -> None:
    con = open_reader(settings.paths.db)
    board = reads.leaderboard(con)
    run = reads.run(con, board["run"].iloc[0])
    con.close()
    assert set(board["family"]) == {"ert"}
    assert sorted(board["flip_test"]) == [False, True]
    assert (board["ocular_nme"] < 20).all()  # the mean shape of these faces has about 17
    single = board[~board["flip_test"]].iloc[0]
    assert run["kept_val_nme"] == pytest.approx(single["ocular_nme"] / 100)
    assert (run["status"], run["seed"], run["name"]) == ("finished", 3, "ert")
    assert run["provenance"]["packages"]["dlib"]
    left = {path.name for path in (settings.paths.db.parent / run["id"]).iterdir()}
    assert left == {"ert.dat"}


def test_another_seed_or_other_settings_are_another_run(settings: ContestSettings) -> None:
    assert runs.find(ROW, 3, settings) is not None
    assert runs.find(ROW, 4, settings) is None
    other = Budget("synthetic", 10.0, 1, settings=TRIAL.settings)
    assert runs.find(ROW, 3, ContestSettings(settings.paths, other)) is None


def test_pictures_and_packed_crops_lead_to_the_same_landmarks(settings: ContestSettings) -> None:
    run = runs.find(ROW, 3, settings)
    predictor = ert.Ert(settings.paths.db.parent / str(run) / ert.MODEL)
    dataset = SyntheticDataset(size=60)
    faces = pack(dataset, "val", "gt", settings.paths.cache)
    packed, _ = ert.predict(predictor, faces, flip_test=False)
    aligner = ert.ErtAligner(predictor)
    known = dataset.subset("val").faces
    boxes = gt_boxes(np.stack([face.points for face in known]))
    crops = [aligner.prepare(dataset.picture(f), b) for f, b in zip(known, boxes, strict=True)]
    direct = aligner.locate(crops, boxes)
    assert np.abs(direct - packed).mean() < 0.01 * boxes[:, 2].mean()


def test_the_mirrored_crop_gives_mirrored_landmarks(settings: ContestSettings) -> None:
    predictor = ert.Ert(settings.paths.db.parent / str(runs.find(ROW, 3, settings)) / ert.MODEL)
    grey = np.random.default_rng(0).integers(0, 256, (ert.SIZE, ert.SIZE), dtype=np.uint8)
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    there = predictor.crop_px(mirrored)
    flip = list(IBUG68.flip)
    back = predictor.flipped(grey, IBUG68)
    np.testing.assert_array_equal(back[:, 1], there[flip, 1])
    np.testing.assert_array_equal(back[:, 0], ert.SIZE - 1 - there[flip, 0])


def test_a_file_that_dlib_cannot_read_is_said(tmp_path: Path, settings: ContestSettings) -> None:
    (tmp_path / ert.MODEL).write_bytes(b"no model")
    with pytest.raises(DrfError, match="dlib cannot read"):
        ert.Ert(tmp_path / ert.MODEL)
