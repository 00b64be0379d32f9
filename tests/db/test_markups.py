"""Landmarks of any markup, with missing and hidden ones, go into the store and come back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from db import faces, predictions, reads
from db.analysis import paired
from db.connection import open_reader
from db.maintenance import integrity
from db.recording import evaluations, gallery, runs
from drf.errors import NotFoundError, UsageError
from drf.landmarks.markup import HIDDEN, MISSING, VISIBLE, Markup
from drf.pictures import FaceCrop, LeafGallery, LeafPicture
from drf.scoring.results import Evaluation
from tests.db import examples

FIVE = Markup(
    name="five",
    groups={"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
    flip=(1, 0, 2, 4, 3),
    normalisers={"ocular": ((0,), (1,))},
    subsets={"eyes": ("eyes",)},
    displayed=(2,),
    titles={2: "tip"},
)
SHAPE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], dtype=np.float32)


def five_points(**changes: object) -> Evaluation:
    """Four faces. The second one's left eye is hidden; the third one has no right eye and the
    fourth no mouth."""
    truth = SHAPE + np.arange(4, dtype=np.float32)[:, None, None]
    visibility = np.full((4, 5), VISIBLE, np.uint8)
    visibility[1, 1] = HIDDEN
    for face, landmark in ((2, 0), (3, 3), (3, 4)):
        truth[face, landmark], visibility[face, landmark] = np.nan, MISSING
    errors = np.random.default_rng(0).normal(0, 2, truth.shape)
    predicted = (SHAPE + np.arange(4)[:, None, None] + errors).astype(np.float32)
    covariances = np.tile(np.diag([4.0, 9.0]).astype(np.float32), (4, 5, 1, 1))
    made = examples.evaluation(
        4, markup=FIVE, ground_truth=truth, predictions=predicted, visibility=visibility,
        covariances=covariances,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def run(db: Database) -> str:
    return runs.start_run(db, examples.new_run(markup=FIVE, name="five"))


def test_everything_comes_back(db: Database, run: str, path: Path) -> None:
    made = five_points()
    crops = [
        dataclasses.replace(crop, visibility=visibility)
        for crop, visibility in zip(examples.crops(made), made.visibility, strict=True)
    ]
    identity = evaluations.record_evaluation(db, run, made, crops)
    con = open_reader(path)
    assert reads.markup(con, "five") == FIVE
    assert reads.run(con, run)["markup"] == "five"
    ids, truth, predicted = predictions.predictions(con, identity)
    np.testing.assert_array_equal(truth, made.ground_truth)
    np.testing.assert_array_equal(predicted, made.predictions)
    for i, face in enumerate(ids.tolist()):
        read = faces.read_face(con, face)
        assert (read.name, read.markup) == (made.names[i], FIVE)
        if i == 0:
            assert read.visibility is None  # nothing to tell
        else:
            np.testing.assert_array_equal(read.visibility, made.visibility[i])
        one = predictions.prediction(con, identity, face)
        np.testing.assert_array_equal(one, (made.ground_truth[i], made.predictions[i]))
    covariances = predictions.covariances_of_evaluation(con, identity)
    np.testing.assert_allclose(covariances, made.covariances, rtol=1e-3)
    assert integrity.faults(con) == []
    con.close()


def test_scores_are_over_the_faces_that_have_the_normaliser(
    db: Database, run: str, path: Path
) -> None:
    made = five_points()
    identity = evaluations.record_evaluation(db, run, made, [])
    offsets = np.linalg.norm(made.predictions.astype(float) - made.ground_truth, axis=2)
    ocular = [offsets[i, there].mean() / 40 for i, there in ((0, slice(5)), (1, slice(5)))]
    ocular.append(offsets[3, :3].mean() / 40)
    con = open_reader(path)
    (row,) = reads.leaderboard(con).to_dict("records")
    assert row["markup"] == "five"
    assert row["ocular_nme"] == pytest.approx(100 * np.mean(ocular), abs=1e-6)
    assert np.isnan(row["pupil_nme"])  # the markup has no pupils
    assert row["n"] == 4
    images = predictions.image_errors(con, identity)
    assert images["ocular"].isna().tolist() == [False, False, True, False]
    assert images["pupil"].isna().all()
    third = offsets[2, 1:].mean() / np.sqrt(35 * 40)  # box of x 35..70, y 40..80
    assert images["box"].tolist()[2] == pytest.approx(third, abs=1e-6)
    assert con.execute("SELECT pupil_nme FROM leaderboard").fetchall() == [(None,)]
    con.close()


def test_faces_without_the_normaliser_are_no_part_of_the_pairing(
    db: Database, run: str, path: Path
) -> None:
    first = evaluations.record_evaluation(db, run, five_points(), [])
    second = evaluations.record_evaluation(
        db, run, five_points(predictions=five_points().predictions + 1), []
    )
    con = open_reader(path)
    found = paired.errors(con, [first, second])
    assert found.errors["ocular"].shape == (2, 4)
    assert found["ocular"].shape == (2, 3)
    assert found["box"].shape == (2, 4)
    assert found["pupil"].shape == (2, 0)
    under = found.under("ocular")
    assert under.names == tuple(f"common/0000{i}" for i in (0, 1, 3))
    assert under.faces.tolist() == [1, 2, 4]
    np.testing.assert_array_equal(under["ocular"], found["ocular"])
    assert under["box"].shape == (2, 3)
    assert found.under("box") is found
    con.close()


def test_a_board_is_ranked_by_the_first_normaliser_that_exists_there(
    db: Database, path: Path
) -> None:
    bare = dataclasses.replace(FIVE, name="bare", normalisers={})
    for name, shift in (("far", 5), ("near", 1)):
        run = runs.start_run(db, examples.new_run(markup=bare, name=name))
        truth = five_points().ground_truth
        made = five_points(markup=bare, predictions=np.nan_to_num(truth) + shift)
        evaluations.record_evaluation(db, run, made, [])
        runs.end_run(
            db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.05
        )
    con = open_reader(path)
    rows = reads.leaderboard(con)
    assert rows["name"].tolist() == ["near", "far"]
    assert rows["rank"].tolist() == [1, 2]
    assert reads.ranked_by(rows) == "box_nme"
    view = con.execute("SELECT rank, name FROM leaderboard").fetchall()
    assert view == [(1, "near"), (2, "far")]
    con.close()


def test_epochs_and_leaves_are_of_the_run_s_markup(db: Database, run: str, path: Path) -> None:
    made = five_points()
    crops = [
        FaceCrop(crop.name, crop.points, crop.jpeg, crop.to_picture, visibility)
        for crop, visibility in zip(examples.crops(made), made.visibility, strict=True)
    ]
    gallery.record_predictions(db, run, 3, crops, made.predictions)
    leaf = LeafPicture(
        0, 1, "whole face", 0.5, SHAPE / 100, SHAPE / 1000, tuple(range(5)), (2,), (0.5,)
    )
    gallery.record_leaves(db, run, LeafGallery((leaf,), {2: crops[2]}, SHAPE / 100))
    con = open_reader(path)
    watched = gallery.predictions(con, run, 3)
    for i, face in enumerate(watched):
        assert (face.name, face.markup) == (made.names[i], FIVE)
        np.testing.assert_array_equal(face.ground_truth, made.ground_truth[i])
        np.testing.assert_array_equal(face.prediction, made.predictions[i])
    np.testing.assert_array_equal(watched[2].visibility, made.visibility[2])
    (back,), mean = gallery.leaves(con, run)
    np.testing.assert_array_equal(back.std, leaf.std)
    np.testing.assert_array_equal(mean, SHAPE / 100)
    assert integrity.faults(con) == []
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        gallery.record_predictions(db, run, 4, crops, np.zeros((4, 6, 2)))
    con.close()


def test_a_name_has_one_definition(db: Database, run: str) -> None:
    other = dataclasses.replace(FIVE, flip=(0, 1, 2, 3, 4))
    for write in (
        lambda: runs.start_run(db, examples.new_run(markup=other)),
        lambda: evaluations.record_evaluation(db, run, five_points(markup=other), []),
    ):
        with pytest.raises(UsageError, match="another definition of the markup 'five'"):
            write()
    assert db.table("runs").count == 1
    assert db.table("evaluations").count == 0


def test_a_markup_that_nobody_used_is_not_there(db: Database) -> None:
    with pytest.raises(NotFoundError, match="no markup 'six'"):
        reads.markup(db.conn, "six")


def test_visibility_and_points_must_agree(db: Database, run: str) -> None:
    wrong = np.full((4, 5), VISIBLE, np.uint8)
    with pytest.raises(ValueError, match="marked as missing"):
        evaluations.record_evaluation(db, run, five_points(visibility=wrong), [])
    assert db.table("faces").count == 0


def test_a_definition_may_add_normalisers(db: Database, run: str, path: Path) -> None:
    """An older drf, whose definition has fewer, goes on with the one that is there."""
    more = dataclasses.replace(FIVE, normalisers={**FIVE.normalisers, "mouth": ((3,), (4,))})
    for written in (more, FIVE):
        runs.start_run(db, examples.new_run(markup=written))
        con = open_reader(path)
        assert reads.markup(con, "five") == more
        con.close()
    fewer = dataclasses.replace(FIVE, normalisers={"mouth": ((0,), (4,))})
    with pytest.raises(UsageError, match="another definition"):
        runs.start_run(db, examples.new_run(markup=fewer))
