"""The inside of a run comes back as it was, takes little space, and goes with the run."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from db import faces
from db.connection import open_reader
from db.maintenance import integrity
from db.maintenance.backup import back_up
from db.recording import evaluations, gallery, runs
from drf.errors import NotFoundError
from tests.db import examples


@pytest.fixture
def run(db: Database) -> str:
    return runs.start_run(db, examples.new_run())


@pytest.fixture
def reader(db: Database, path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_reader(path)
    yield connection
    connection.close()


def predicted(epoch: int, m: int = 6) -> np.ndarray:
    """Predictions that tell their epoch and their face."""
    return np.full((m, 68, 2), epoch, np.float32) + np.arange(m, dtype=np.float32)[:, None, None]


def watch(db: Database, run: str, epochs: range, m: int = 6) -> None:
    faces = examples.crops(examples.evaluation(m))
    for epoch in epochs:
        gallery.record_predictions(db, run, epoch, faces, predicted(epoch, m))


def test_the_same_faces_come_back_epoch_by_epoch(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    watch(db, run, range(3))
    assert gallery.epochs(reader, run) == [0, 1, 2]
    first, last = (gallery.predictions(reader, run, epoch) for epoch in (0, 2))
    assert [w.face for w in first] == [w.face for w in last]
    assert [w.name for w in last] == list(examples.evaluation(6).names)
    assert np.array_equal([w.prediction for w in last], predicted(2))
    assert np.array_equal([w.ground_truth for w in last], examples.evaluation(6).ground_truth)
    assert faces.crop(reader, last[0].face) is not None
    assert db.table("faces").count == 6


def test_landmarks_that_a_model_does_not_know_stay_unknown(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    eyes = np.full((1, 68, 2), np.nan, np.float32)
    eyes[:, 36:48] = 5
    gallery.record_predictions(db, run, 0, examples.crops(examples.evaluation(1)), eyes)
    (back,) = gallery.predictions(reader, run, 0)
    assert np.array_equal(back.prediction, eyes[0], equal_nan=True)


def test_an_epoch_that_is_repeated_replaces_itself(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    watch(db, run, range(2))
    faces = examples.crops(examples.evaluation(6))
    gallery.record_predictions(db, run, 1, faces, predicted(50))
    assert gallery.epochs(reader, run) == [0, 1]
    assert gallery.predictions(reader, run, 1)[0].prediction[0, 0] == 50


def test_a_long_run_keeps_few_epochs_evenly_spaced_and_the_last(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    watch(db, run, range(151), m=1)
    kept = gallery.epochs(reader, run)
    assert kept == [*range(0, 149, 4), 150]
    assert [gallery.predictions(reader, run, e)[0].prediction[0, 0] for e in kept] == kept


@given(last=st.integers(0, 2000))
def test_no_more_epochs_are_kept_than_said(last: int) -> None:
    stride = gallery._stride(last)
    kept = len({*range(0, last + 1, stride), last})
    assert kept <= gallery.KEPT_EPOCHS
    if stride > 1:  # and no thinner than needed
        assert len({*range(0, last + 1, stride // 2), last}) > gallery.KEPT_EPOCHS


def test_leaves_come_back_as_they_were(db: Database, run: str, reader: sqlite3.Connection) -> None:
    made = examples.gallery(examples.leaf(), examples.whole_face(tree=0, leaf=7, share=1.0))
    gallery.record_leaves(db, run, made)
    leaves, mean = gallery.leaves(reader, run)
    assert np.array_equal(mean, made.mean_shape)
    for back, leaf in zip(leaves, made.leaves, strict=True):
        for name in ("tree", "leaf", "title", "share", "landmarks", "weights", "extent"):
            assert getattr(back, name) == getattr(leaf, name), name
        assert np.array_equal(back.points, leaf.points)
        assert np.array_equal(back.std, leaf.std)
    names = [faces.read_face(reader, face).name for face in leaves[0].faces]
    assert names == ["val/4", "val/2"]
    held = made.leaves[0].distribution
    assert leaves[0].distribution == pytest.approx(held / held.max(), abs=1e-3)
    assert leaves[1].distribution is None


def test_tiny_probabilities_and_none_at_all_are_kept(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    tiny, empty = np.full((2, 2), 1e-12, np.float32), np.zeros((2, 2), np.float32)
    tiny[0, 0] = 4e-12
    made = [examples.leaf(distribution=cells) for cells in (tiny, empty)]
    gallery.record_leaves(db, run, examples.gallery(*made))
    first, second = (leaf.distribution for leaf in gallery.leaves(reader, run)[0])
    assert first.tolist() == [[1, 0.25], [0.25, 0.25]]
    assert second.tolist() == [[0, 0], [0, 0]]


def test_numbers_of_arrays_and_shares_a_digit_above_one_are_stored(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    odd = examples.leaf(
        tree=np.int64(2), landmarks=tuple(np.array([36])), share=np.float32(1.0000001),
        weights=(np.float32(1.0000001), np.float32(0.5)), extent=tuple(np.float32([0, 0, 1, 1])),
    )  # fmt: skip
    gallery.record_leaves(db, run, examples.gallery(odd))
    (leaf,) = gallery.leaves(reader, run)[0]
    assert (leaf.tree, leaf.landmarks, leaf.share) == (2, (36,), 1.0)
    assert leaf.weights == (1.0, 0.5)


def test_a_run_without_leaves_has_none(reader: sqlite3.Connection, run: str) -> None:
    assert gallery.leaves(reader, run) == ([], None)
    assert gallery.epochs(reader, run) == []


def test_a_later_gallery_takes_the_place_of_the_earlier(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    gallery.record_leaves(db, run, examples.gallery(*[examples.leaf()] * 3))
    gallery.record_leaves(db, run, examples.gallery(examples.leaf(faces=(1,), weights=(1.0,)), n=2))
    leaves, _ = gallery.leaves(reader, run)
    assert [faces.read_face(reader, face).name for face in leaves[0].faces] == ["val/1"]
    stored = {name for (name,) in db.execute("SELECT name FROM faces")}
    assert stored == {"val/1"}  # what no leaf attracts is not kept


def test_a_full_gallery_of_one_run_stays_under_a_megabyte(db: Database, run: str) -> None:
    rng = np.random.default_rng(0)
    cells = [rng.random((64, 64), dtype=np.float32) for _ in range(64)]
    leaves = [examples.leaf(distribution=c, faces=(), weights=()) for c in cells]
    db.execute("VACUUM")

    def size() -> int:
        (used,) = db.execute("SELECT sum(pgsize) FROM dbstat").fetchone()
        return used

    try:
        before = size()
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    gallery.record_leaves(db, run, examples.gallery(*leaves))
    watch(db, run, range(500))
    assert size() - before < 1_000_000


def test_pictures_are_shared_with_evaluations_and_other_runs(db: Database, run: str) -> None:
    result = examples.evaluation(6)
    evaluations.record_evaluation(db, run, result, examples.crops(result))
    watch(db, run, range(2))
    other = runs.start_run(db, examples.new_run(seed=1))
    watch(db, other, range(2))
    assert db.table("faces").count == 6


def test_deleting_a_run_removes_what_only_it_showed(db: Database, run: str) -> None:
    other = runs.start_run(db, examples.new_run(seed=1))
    for one, n in ((run, 6), (other, 3)):
        watch(db, one, range(2), m=n)
        made = examples.leaf(faces=(n - 1,), weights=(1.0,))
        gallery.record_leaves(db, one, examples.gallery(made, n=n))
        runs.end_run(
            db, one, "finished", wall_s=1, faces_per_s=1, kept_epoch=None, kept_val_nme=None
        )
    runs.delete_run(db, run)
    left = {name for (name,) in db.execute("SELECT name FROM faces")}
    assert left == {"common/00000", "common/00001", "common/00002", "val/2"}
    runs.delete_run(db, other)
    for table in ("epoch_predictions", "leaf_galleries", "leaves", "leaf_faces", "faces"):
        assert db.table(table).count == 0


def test_a_run_deleted_under_its_trainer_is_told(db: Database, run: str) -> None:
    runs.end_run(db, run, "failed", wall_s=1, faces_per_s=1, kept_epoch=None, kept_val_nme=None)
    runs.delete_run(db, run)
    with pytest.raises(NotFoundError):
        watch(db, run, range(1))
    with pytest.raises(NotFoundError):
        gallery.record_leaves(db, run, examples.gallery(examples.leaf()))
    assert db.table("faces").count == 0


def test_a_gallery_that_cannot_be_written_leaves_the_earlier_one(
    db: Database, run: str, reader: sqlite3.Connection
) -> None:
    gallery.record_leaves(db, run, examples.gallery(examples.leaf()))
    broken = dataclasses.replace(examples.gallery(examples.leaf()), faces={})
    with pytest.raises(KeyError):
        gallery.record_leaves(db, run, broken)
    assert len(gallery.leaves(reader, run)[0]) == 1


def test_a_backup_holds_the_pictures(db: Database, run: str, path: Path, tmp_path: Path) -> None:
    watch(db, run, range(2))
    gallery.record_leaves(db, run, examples.gallery(examples.leaf(), examples.whole_face()))
    con = open_reader(path)
    back_up(con, tmp_path / "copy.db")
    con.close()
    copy = open_reader(tmp_path / "copy.db")
    assert integrity.faults(copy) == []
    assert len(gallery.leaves(copy, run)[0]) == 2
    assert len(gallery.predictions(copy, run, 1)) == 6
    copy.close()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE epoch_predictions SET prediction = x'00'", "prediction has 1 bytes"),
        ("UPDATE leaf_galleries SET mean_shape = x'00'", "mean_shape has 1 bytes"),
        ("UPDATE leaves SET points = x'0000', std = x'0000'", "points has 2 bytes instead of 8"),
        ("UPDATE leaves SET std = x'00'", "std has 1 bytes instead of 8"),
        ("UPDATE leaves SET height = 4", "distribution has not the size of its height and width"),
        ("DELETE FROM leaf_galleries", "a row of leaf_galleries not there"),
        ("DELETE FROM leaves", "a row of leaves not there"),
        ("DELETE FROM faces", "a row of faces not there"),
    ],
)
def test_damage_is_found(db: Database, run: str, path: Path, damage: str, problem: str) -> None:
    watch(db, run, range(1))
    gallery.record_leaves(db, run, examples.gallery(examples.leaf()))
    vandal = sqlite3.connect(path, isolation_level=None)
    vandal.execute("PRAGMA ignore_check_constraints = ON")
    assert vandal.execute(damage).rowcount > 0
    vandal.close()
    con = open_reader(path)
    found = integrity.faults(con)
    con.close()
    assert any(problem in fault.problem for fault in found), found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": np.zeros((2, 2))}, r"\(k, 2\) twice"),
        ({"landmarks": (36, 37)}, "1 points but 2 landmarks"),
        ({"weights": (1.0,)}, "2 faces with 1 weights"),
        ({"faces": tuple(range(7)), "weights": (0.1,) * 7}, "7 faces"),
        ({"extent": None}, "needs an extent"),
        ({"distribution": None}, "needs an extent"),
        ({"distribution": np.zeros((65, 3))}, "up to 64 cells"),
        ({"distribution": np.zeros((0, 3))}, "up to 64 cells"),
    ],
)
def test_a_leaf_whose_parts_do_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examples.leaf(**change)
