from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from db import predictions, reads
from db.connection import open_as_it_is, open_reader, open_store
from db.tables import derived
from db.tables.migrations import APPLICATION_ID, migrations
from drf.errors import StoreError
from drf.landmarks.markup import IBUG68
from tests.db import examples, processes

STEPS = [
    "m001_runs",
    "m002_evaluations",
    "m003_gallery",
    "m004_views",
    "m005_error_vectors",
    "m006_revisions",
    "m007_covariances",
    "m008_scores_in_order",
    "m009_landmarks_and_scores",
    "m010_diverged_runs_and_floors",
    "m011_inputs_of_evaluations",
    "m012_claims",
    "m013_words",
    "m015_sweeps",
    "m016_rows_of_boards",
    "m017_latencies",
    "m018_training_data",
]


@pytest.mark.parametrize("content", [None, b""], ids=["no file", "empty file"])
def test_a_store_grows_from_nothing(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    open_store(path).close()
    con = open_reader(path)
    assert con.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert con.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert reads.revision(con) == 0
    assert reads.leaderboard(con).empty
    con.close()


def test_a_creation_that_was_killed_half_way_is_taken_up_again(path: Path) -> None:
    killed = sqlite3.connect(path)
    killed.execute("PRAGMA journal_mode = WAL")  # all that is outside the one transaction
    killed.close()
    open_store(path).close()
    open_reader(path).close()


def test_every_table_is_strict(db: Database) -> None:
    tables = db.execute("PRAGMA table_list").fetchall()
    ours = {name: strict for _, name, kind, _, _, strict in tables if kind == "table"}
    ours = {name: strict for name, strict in ours.items() if not name.startswith(("sqlite_", "_"))}
    assert set(ours) == {
        *("meta", "runs", "run_config", "epochs"),
        *("faces", "face_sets", "markups", "evaluations", "scores", "predictions"),
        *("epoch_predictions", "leaf_galleries", "leaves", "leaf_faces"),
        *("views", "error_vectors", "old_method_ids", "notes", "tags", "stars", "deletions"),
        "latencies",
        *("sweeps", "sweep_jobs", "board_entries", "board_methods", "board_stale"),
    }
    assert all(ours.values())


def test_an_older_store_is_refused_by_readers_with_the_command_that_helps(path: Path) -> None:
    examples.older_store(path)
    with pytest.raises(StoreError, match=rf"older drf.*drf db migrate --db {path}"):
        open_reader(path)
    con, pending = open_as_it_is(path)
    con.close()
    assert pending == STEPS[1:]


def test_an_older_store_is_brought_up_to_date_with_its_rows(path: Path) -> None:
    run = examples.older_store(path)
    db = open_store(path)
    examples.evaluations.record_evaluation(db, run, examples.evaluation(), [])
    db.close()
    con = open_reader(path)
    assert [m.name for m in migrations.applied(Database(con))] == STEPS
    assert reads.leaderboard(con)["name"].tolist() == ["old"]
    con.close()


def test_evaluations_from_before_revisions_are_on_the_board_of_any_revision(path: Path) -> None:
    run = examples.older_store(path)
    old = sqlite3.connect(path, isolation_level=None)
    migrations.apply(Database(old), stop_before="m006_revisions")
    old.execute(
        "INSERT INTO evaluations (run, dataset, subset, points, n, box, flip_test, manifest,"
        " ms_per_face, created_at) VALUES (?, '300w', 'full', 'all', 1, 'gt', 1, '{}', 1.0, '')",
        [run],
    )
    old.execute("INSERT INTO scores VALUES (1, 'ocular', 'nme', NULL, 0.03)")
    old.close()
    open_store(path).close()
    con = open_reader(path)
    assert reads.leaderboard(con, at_revision=0)["ocular_nme"].tolist() == [3.0]
    con.close()


def test_a_migration_that_fails_leaves_the_old_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples.older_store(path)
    monkeypatch.setattr("db.tables.migrations._LEADERBOARD", "CREATE VIEW leaderboard AS nonsense")
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):  # ours: a traceback
        open_store(path)
    con, pending = open_as_it_is(path)
    assert pending == STEPS[1:]
    names = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
    assert not names & {"faces", "evaluations", "scores", "evaluation_scores"}
    con.close()


def test_contents_that_no_step_takes_leave_the_old_store(path: Path) -> None:
    """An evaluation without a face, which the step takes for granted."""
    examples.older_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        migrations.apply(Database(con), stop_before="m005_error_vectors")
        con.execute(
            "INSERT INTO evaluations (run, dataset, subset, points, n, box, flip_test, manifest,"
            " ms_per_face, created_at) SELECT id, '', '', 'all', 1, '', 0, '{}', 1.0, '' FROM runs"
        )
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot be brought up to date from m005_error_vectors"):
        open_store(path)
    con, pending = open_as_it_is(path)
    con.close()
    assert pending[0] == "m005_error_vectors"
    assert len(path.read_bytes()) == len(before)


def test_a_newer_store_is_refused_by_everyone_and_left_alone(path: Path) -> None:
    db = open_store(path)
    db.table("_sqlite_migrations").insert(
        {"migration_set": "drf", "name": "m099_future", "applied_at": "2030-01-01"}
    )
    db.close()
    for opener in (open_store, open_reader, open_as_it_is):
        with pytest.raises(StoreError, match=r"newer drf \(m099_future\).*update drf"):
            opener(path)


def test_processes_that_create_one_store_at_once_agree(path: Path) -> None:
    results = processes.in_parallel(processes.create, [(path,)] * 3)
    assert results == ["ok"] * 3
    con = open_reader(path)
    applied = con.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    assert [name for (name,) in applied] == STEPS
    con.close()


def test_plain_sqlite_sees_a_silent_run_as_stale(db: Database) -> None:
    run = examples.runs.start_run(db, examples.new_run())
    examples.evaluations.record_evaluation(db, run, examples.evaluation(), [])
    state = "SELECT state FROM leaderboard"
    assert db.execute(state).fetchall() == [("running",)]
    for heartbeat in ("-61 seconds", "+61 seconds"):
        db.execute(
            "UPDATE runs SET heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)", [heartbeat]
        )
        assert db.execute(state).fetchall() == [("stale",)]
    db.execute("UPDATE runs SET state = 'finished'")
    assert db.execute(state).fetchall() == [("finished",)]


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 command here")
def test_plain_sqlite3_reads_the_leaderboard(filled: list[str], path: Path) -> None:
    done = subprocess.run(
        ["sqlite3", str(path), "SELECT rank, name, round(ocular_nme, 2) FROM leaderboard"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split("|")[:2] for line in done.stdout.splitlines()] == [
        ["1", "hourglass-wide"],
        ["2", "hourglass"],
        ["3", "hourglass"],
        ["4", "mean-shape"],
    ]


def test_evaluations_of_an_older_store_get_their_error_vectors(path: Path) -> None:
    run = examples.older_store(path)
    old = Database(sqlite3.connect(path, isolation_level=None))
    migrations.apply(old, stop_before="m005_error_vectors")
    made = examples.evaluation()
    errors = {norm: made.errors(norm) for norm in ("ocular", "pupil")}
    old.execute(
        "INSERT INTO evaluations (id, run, dataset, subset, points, n, box, flip_test, manifest,"
        " ms_per_face, created_at) VALUES (7, ?, 'x', 'full', 'all', 6, 'gt', 1, '{}', 1.0, '')",
        [run],
    )
    for i, name in enumerate(made.names):
        truth, predicted = made.ground_truth[i].tobytes(), made.predictions[i].tobytes()
        old.execute(
            "INSERT INTO faces (id, dataset, name, points) VALUES (?, 'x', ?, ?)",
            [20 - i, name, truth],
        )
        old.execute(
            "INSERT INTO image_errors VALUES (7, ?, ?, ?, ?)",
            [20 - i, float(errors["ocular"][i]), float(errors["pupil"][i]), predicted],
        )
    old.close()
    open_store(path).close()
    con = open_reader(path)
    images = predictions.image_errors(con, 7)
    assert images["face"].tolist() == [15, 16, 17, 18, 19, 20]
    for norm in ("ocular", "pupil"):
        assert images[norm].tolist() == errors[norm][::-1].tolist()
    assert reads.leaderboard(con)["ocular_median"].iloc[0] == pytest.approx(
        100 * float(np.median(errors["ocular"]))
    )
    con.close()


def test_a_damaged_evaluation_does_not_keep_an_older_store_closed(path: Path) -> None:
    examples.filled_store(path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DELETE FROM meta WHERE key = 'scores'")
    db.execute("DELETE FROM error_vectors WHERE norm = 'box'")
    db.execute("DELETE FROM predictions WHERE evaluation = 2")
    db.close()
    store = open_store(path)
    assert derived.lacking(store.conn) == [2]
    norms = store.execute("SELECT evaluation FROM error_vectors WHERE norm = 'box'").fetchall()
    assert norms == [(1,), (3,), (4,)]
    store.close()


def test_ids_that_were_given_out_before_the_step_are_not_given_out_again(path: Path) -> None:
    run = examples.older_store(path)
    old = sqlite3.connect(path, isolation_level=None)
    migrations.apply(Database(old), stop_before="m009_landmarks_and_scores")
    old.execute("INSERT INTO sqlite_sequence VALUES ('evaluations', 41)")
    old.close()
    db = open_store(path)
    assert examples.evaluations.record_evaluation(db, run, examples.evaluation(), []) == 42
    db.close()


def test_the_step_refuses_to_drop_tables_that_others_refer_to(path: Path) -> None:
    examples.older_store(path)
    old = Database(sqlite3.connect(path, isolation_level=None))
    old.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(RuntimeError, match="would delete"):
        migrations.apply(old)
    assert old.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_the_step_knows_ibug68_as_the_code_does(db: Database) -> None:
    assert reads.markup(db.conn, "ibug68") == IBUG68


def test_views_are_made_anew_only_where_they_differ(path: Path) -> None:
    version = "PRAGMA schema_version"
    open_store(path).close()
    db = open_store(path)
    before = db.execute(version).fetchone()
    db.close()
    db = open_store(path)
    assert db.execute(version).fetchone() == before
    db.execute("DROP VIEW leaderboard")
    db.execute("CREATE VIEW leaderboard AS SELECT 1 AS rank")
    db.close()
    db = open_store(path)
    columns = {name for _, name, *_ in db.execute("PRAGMA table_info(leaderboard)")}
    assert {"rank", "ocular_nme", "box_median"} <= columns
    db.close()
