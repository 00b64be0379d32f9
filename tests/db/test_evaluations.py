from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from db import faces, predictions, reads
from db.connection import open_reader
from db.maintenance import integrity
from db.recording import evaluations, runs
from drf.landmarks.markup import HIDDEN, VISIBLE
from drf.scoring.results import Evaluation
from tests.db import examples


@pytest.fixture
def run(db: Database) -> str:
    return runs.start_run(db, examples.new_run())


def literal_errors(evaluation: Evaluation, norm: str) -> list[float]:
    """e_i = (1/68) sum_j ||P_ij - G_ij|| / d_i, written out."""
    errors = []
    for truth, predicted in zip(
        evaluation.ground_truth.tolist(), evaluation.predictions.tolist(), strict=True
    ):
        if norm == "ocular":
            (ax, ay), (bx, by) = truth[36], truth[45]
        else:
            ax, ay = (sum(truth[j][k] for j in range(36, 42)) / 6 for k in (0, 1))
            bx, by = (sum(truth[j][k] for j in range(42, 48)) / 6 for k in (0, 1))
        d = ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5
        lengths = [
            ((px - gx) ** 2 + (py - gy) ** 2) ** 0.5
            for (px, py), (gx, gy) in zip(predicted, truth, strict=True)
        ]
        errors.append(sum(lengths) / 68 / d)
    return errors


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    n=st.integers(1, 12), error_px=st.floats(0, 12), seed=st.integers(0, 2**31), flip=st.booleans()
)
def test_both_normalisations_as_the_formulas_say(
    db: Database, path: Path, run: str, n: int, error_px: float, seed: int, flip: bool
) -> None:
    result = examples.evaluation(n, error_px, seed, flip_test=flip)
    identity = evaluations.record_evaluation(db, run, result, [])
    con = open_reader(path)
    rows = reads.evaluations(con, run)
    row = rows[rows["evaluation"] == identity].iloc[0]
    images = predictions.image_errors(con, identity)
    con.close()
    assert (row["n"], row["flip_test"]) == (n, flip)
    for norm in ("ocular", "pupil"):
        errors = literal_errors(result, norm)
        assert images[norm].tolist() == pytest.approx(errors, abs=1e-12)
        assert row[f"{norm}_nme"] == pytest.approx(100 * sum(errors) / n)
        for percent in (8, 10):
            t = percent / 100
            failed = 100 * sum(e > t for e in errors) / n
            area = 100 * sum(max(0, t - e) for e in errors) / n / t
            assert row[f"{norm}_fr{percent}"] == pytest.approx(failed)
            assert row[f"{norm}_auc{percent}"] == pytest.approx(area, abs=1e-9)


def test_every_score_stands_under_every_normaliser(db: Database, run: str) -> None:
    evaluations.record_evaluation(db, run, examples.evaluation(), [])
    stored = db.execute("SELECT norm, score FROM scores").fetchall()
    assert sorted(stored) == sorted(
        (norm, score)
        for norm in ("ocular", "pupil", "box")
        for score in ("nme", "median", "fr8", "auc8", "fr10", "auc10")
    )


def test_predictions_return_bit_for_bit_with_their_faces(
    db: Database, path: Path, run: str
) -> None:
    result = examples.evaluation(7)
    identity = evaluations.record_evaluation(db, run, result, examples.crops(result))
    con = open_reader(path)
    ids, truth, predicted = predictions.predictions(con, identity)
    images = predictions.image_errors(con, identity)
    assert images["face"].tolist() == ids.tolist()
    assert images["name"].tolist() == list(result.names)
    assert np.array_equal(truth, result.ground_truth)
    assert np.array_equal(predicted, result.predictions)
    one = predictions.prediction(con, identity, int(ids[3]))
    assert np.array_equal(one[0], truth[3])
    assert np.array_equal(one[1], predicted[3])
    stored = faces.crop(con, int(ids[3]))
    con.close()
    assert stored is not None
    assert stored[0] == examples.crops(result)[3].jpeg
    assert np.array_equal(stored[1], examples.crops(result)[3].to_picture)


def test_a_prediction_takes_544_bytes(db: Database, run: str) -> None:
    evaluations.record_evaluation(db, run, examples.evaluation(), [])
    sizes = db.execute("SELECT DISTINCT length(prediction) FROM predictions").fetchall()
    assert sizes == [(544,)]


def test_a_picture_is_stored_once_for_all_evaluations(db: Database, run: str) -> None:
    for seed in range(3):
        result = examples.evaluation(5, seed=seed)
        evaluations.record_evaluation(db, run, result, examples.crops(result))
    assert db.table("faces").count == 5
    assert db.table("predictions").count == 15


def test_a_picture_that_came_later_is_filled_in_and_the_first_one_stays(
    db: Database, run: str
) -> None:
    result = examples.evaluation(3)
    first = examples.crops(result)
    evaluations.record_evaluation(db, run, result, [])
    evaluations.record_evaluation(db, run, result, first[:2])
    later = [dataclasses.replace(crop, jpeg=b"other") for crop in first]
    evaluations.record_evaluation(db, run, result, later)
    stored = [crop for (crop,) in db.execute("SELECT crop FROM faces ORDER BY id")]
    assert stored == [first[0].jpeg, first[1].jpeg, b"other"]


def test_a_rescaled_copy_of_a_dataset_does_not_disturb_the_original(
    db: Database, path: Path, run: str
) -> None:
    small = examples.evaluation(4)
    large = dataclasses.replace(
        small, ground_truth=2 * small.ground_truth, predictions=2 * small.predictions
    )
    ids = [evaluations.record_evaluation(db, run, e, examples.crops(e)) for e in (small, large)]
    con = open_reader(path)
    for identity, result in zip(ids, (small, large), strict=True):
        assert np.array_equal(predictions.predictions(con, identity)[1], result.ground_truth)
    con.close()


def test_an_evaluation_that_fails_half_way_leaves_nothing(
    db: Database, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(db.conn.iterdump())
    calls = iter(range(100))

    def interrupted(points: np.ndarray, n_points: int) -> bytes:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return points.astype("<f4").tobytes()

    monkeypatch.setattr(evaluations, "points_to_blob", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluations.record_evaluation(db, run, examples.evaluation(), [])
    assert list(db.conn.iterdump()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a",) * 6}, "twice"),
        ({"names": ("a", "b")}, "2 names but 6 faces"),
        ({"predictions": np.zeros((5, 68, 2))}, "need two arrays"),
        ({"predictions": np.full((6, 68, 2), np.nan)}, "not finite"),
        ({"ground_truth": np.zeros((6, 68, 2))}, "distance"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    db: Database, run: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluations.record_evaluation(db, run, examples.evaluation(**changes), [])
    assert db.table("evaluations").count == 0


def test_a_picture_of_nobody_is_refused(db: Database, run: str) -> None:
    crops = examples.crops(examples.evaluation(8))
    with pytest.raises(ValueError, match="not evaluated: common/00006, common/00007"):
        evaluations.record_evaluation(db, run, examples.evaluation(6), crops)


def test_ids_are_not_given_out_again(db: Database) -> None:
    run = examples.add_finished_run(db)
    (last,) = db.execute("SELECT max(id) FROM evaluations").fetchone()
    runs.delete_run(db, run)
    other = runs.start_run(db, examples.new_run())
    assert evaluations.record_evaluation(db, other, examples.evaluation(), []) == last + 1


def test_covariances_are_kept_to_half_a_permille_and_none_stays_none(
    db: Database, path: Path, run: str
) -> None:
    rng = np.random.default_rng(0)
    roots = rng.normal(0, 3, (6, 68, 2, 2))
    expected = roots @ roots.swapaxes(-1, -2)
    expected[:, 5] = np.nan  # a landmark that the model does not know
    expected[0, 0] = 0.0
    with_them = evaluations.record_evaluation(
        db, run, examples.evaluation(covariances=expected.astype(np.float32)), []
    )
    without = evaluations.record_evaluation(db, run, examples.evaluation(), [])
    con = open_reader(path)
    found = predictions.covariances_of_evaluation(con, with_them)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    for axis in (0, 1):
        np.testing.assert_allclose(found[..., axis, axis], expected[..., axis, axis], rtol=1.1e-3)
    scale = np.sqrt(expected[..., 0, 0] * expected[..., 1, 1])
    assert np.nanmax(np.abs(found - expected)[..., 0, 1] - 1.6e-3 * scale) <= 0
    known = np.delete(found, 5, axis=1)
    assert np.linalg.eigvalsh(known).min() > -1e-5
    ids, _, _ = predictions.predictions(con, with_them)
    one = predictions.covariances_of_face(con, with_them, int(ids[3]))
    np.testing.assert_array_equal(one, found[3])
    assert predictions.covariances_of_evaluation(con, without) is None
    assert predictions.covariances_of_face(con, without, int(ids[3])) is None
    assert integrity.faults(con) == []
    con.close()


def test_covariances_of_another_shape_are_refused(db: Database, run: str) -> None:
    with pytest.raises(ValueError, match=r"\(68, 2, 2\) covariances"):
        evaluations.record_evaluation(
            db, run, examples.evaluation(covariances=np.ones((6, 12, 2, 2))), []
        )


def test_visibilities_come_in_the_order_asked_for_and_none_where_all_are_visible(
    db: Database, run: str
) -> None:
    made = examples.evaluation(4)
    visibility = np.full((4, 68), VISIBLE, np.uint8)
    visibility[1, :9] = HIDDEN
    number = evaluations.record_evaluation(
        db, run, dataclasses.replace(made, visibility=visibility), []
    )
    ids = predictions.face_ids(db.conn, [number])[number]
    by_name = dict(zip(made.names, visibility, strict=True))
    names = predictions.image_errors(db.conn, number).set_index("face")["name"]
    asked = ids[::-1]
    found = predictions.visibilities(db.conn, asked)
    assert found is not None
    np.testing.assert_array_equal(found, [by_name[names[face]] for face in asked])
    plain = [face for face in ids if names[face] != made.names[1]]
    assert predictions.visibilities(db.conn, plain) is None
