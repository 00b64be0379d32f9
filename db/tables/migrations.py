"""The schema, as numbered steps that are never edited once released: a change is a new step.

Every step runs inside one transaction with the record that it was applied. Names of steps are the
schema's version: a file with an unknown step was written by a newer drf, one that lacks a step by
an older drf. The first schema comes in two steps, so that upgrading a file is exercised from the
first day and not first on somebody's results.

Conventions: tables are STRICT; errors and scores are fractions (percent only in views); times are
ISO 8601 text in UTC; arrays are little-endian BLOBs; anything with a free shape is JSON text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sqlite_utils import Database, Migrations

from db.tables.derived import complete_trained_on
from db.tables.steps_m009_to_m011 import (
    diverged_runs_and_floors,
    inputs_of_evaluations,
    landmarks_and_scores,
)

APPLICATION_ID = 0x64726631  # "drf1" in the file's header: tells our files from other SQLite files

migrations = Migrations("drf")


@migrations()
def m001_runs(db: Database) -> None:
    """Runs, where each configuration key came from, and curves.

    `epochs` is long (one row a number) because metrics differ between families and a new one must
    not need a migration. A NULL value is a number that was not finite: a diverged loss is a fact.
    """
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _RUNS:
        db.execute(statement)


@migrations()
def m002_evaluations(db: Database) -> None:
    """Faces, evaluations with scores and per-image predictions, and the views that pivot them.

    A face is identified by dataset, name *and* points: two copies of a dataset (originals and
    rescaled ones) share names but not coordinates, and a prediction only means something in the
    coordinates of its own ground truth. Ids are AUTOINCREMENT because links and caches name them:
    an id must not come to mean another face or evaluation after a deletion.

    `evaluation_scores` is one row per evaluation in percent, `leaderboard` the newest of each
    (run, dataset, subset, points, box, flip_test), ranked by the ocular NME within a board. A run
    that claims to be running but has not been heard of for a minute is shown as stale there too,
    so that plain sqlite3 never sees a killed run as running for longer than that.
    """
    for statement in (*_EVALUATIONS, _EVALUATION_SCORES, _LEADERBOARD):
        db.execute(statement)


@migrations()
def m003_gallery(db: Database) -> None:
    """Predictions of a few validation faces by epoch, and leaves of a trained forest.

    Both show faces, and share their pictures with each other and with the evaluations: a
    validation set is stored once, however many runs look at it. A leaf's points need not be all 68,
    so their number follows from the BLOB's length.
    """
    for statement in _GALLERY:
        db.execute(statement)


@migrations()
def m004_views(db: Database) -> None:
    """Links of the app under a name, for those that are too long to send."""
    db.execute(_VIEWS)


@migrations()
def m005_error_vectors(db: Database) -> None:
    """The errors of an evaluation as arrays, and an index of the boards.

    Both repeat what is there, for boards of thousands of runs: `image_errors` has a prediction in
    every row, and `evaluations` a manifest, which a reader of errors or boards would read too.
    """
    for statement in _ERROR_VECTORS:
        db.execute(statement)
    for (number,) in db.execute("SELECT id FROM evaluations").fetchall():
        rows = db.execute(
            "SELECT face, ocular, pupil FROM image_errors WHERE evaluation = ? ORDER BY face",
            [number],
        ).fetchall()
        faces, ocular, pupil = zip(*rows, strict=True)
        arrays = (np.array(faces, "<i8"), np.array(ocular, "<f8"), np.array(pupil, "<f8"))
        db.execute(
            "INSERT INTO error_vectors VALUES (?, ?, ?, ?)",
            [number, *(array.tobytes() for array in arrays)],
        )


@migrations()
def m006_revisions(db: Database) -> None:
    """The store's revision that brought each evaluation, so that a board can be shown as it was.

    0 for those from before this step: they are older than any revision that a link could name.
    """
    for statement in _REVISIONS:
        db.execute(statement)


@migrations()
def m007_covariances(db: Database) -> None:
    """The errors that a model expects, for ellipses and for risk against coverage.

    Of each landmark the standard deviations in x and y and their correlation, as float16: half a
    permille of an ellipse is not seen, and what is read is never indefinite.
    """
    db.execute(
        "ALTER TABLE image_errors ADD COLUMN covariance BLOB CHECK (length(covariance) = 408)"
    )


@migrations()
def m008_scores_in_order(db: Database) -> None:
    """An index that holds the scores themselves: a board of 2,000 runs reads 20,000 of them."""
    db.execute("CREATE INDEX scores_read ON scores (evaluation, norm, metric, threshold, value)")


@migrations()
def m009_landmarks_and_scores(db: Database) -> None:
    """Landmarks as a value, scores and normalisers by name, today's words.

    `markups` holds definitions of landmarks; runs, evaluations and faces name theirs, and BLOBs are
    as long as it has landmarks. The schema lists no scores and no normalisers: `drf.scoring.scores`
    does. A score is NULL where its normaliser exists on none of the faces. Errors are one array for
    each normaliser, and a set of face ids is kept once for all evaluations of these faces. The
    views are no part of the steps from here on: see `db.tables.derived`.
    """
    landmarks_and_scores(db)


@migrations()
def m010_diverged_runs_and_floors(db: Database) -> None:
    """Runs may end as `diverged`; evaluations have the error of one shape for every face.

    `floor_nme` is a fraction under the first normaliser that exists on one of the faces, see
    `drf.data.floor`; NULL where it is not known: few faces, or boxes that the store does not have.
    """
    diverged_runs_and_floors(db)


@migrations()
def m011_inputs_of_evaluations(db: Database) -> None:
    """What an evaluation was shown and how it was computed, as far as that is no constant.

    `box` says which file boxes are of, see `db.recording.box_labels`: boards of different files are
    different boards. Evaluations get the precision that they were computed in and the version of
    the code that cropped the faces, NULL where they are older. Runs get the optimiser steps and the
    faces seen up to their last epoch as two more metrics, where their configuration tells them.
    """
    inputs_of_evaluations(db)


@migrations()
def m012_claims(db: Database) -> None:
    """Which process a run belongs to: the claim counts how many processes have trained it, and each
    of them writes only as long as its own number stands."""
    db.execute("ALTER TABLE runs ADD COLUMN claim INTEGER NOT NULL DEFAULT 0")


@migrations()
def m013_words(db: Database) -> None:
    """What people say of runs and of named views, and which runs left a board.

    A run has one note, with its author and time, any number of tags, and a star or none. A view may
    have a title, an author and a sentence. `deletions` has a row for each board that a deleted run
    was on, with the revision of its deletion, so that a board can tell what it lost.
    """
    for statement in _WORDS:
        db.execute(statement)


@migrations()
def m015_sweeps(db: Database) -> None:
    """Sweeps: grids of jobs, which are there before their runs. The id of a job is that of its run,
    see `db.recording.sweeps`; it refers to none, so that a run may be deleted and made again."""
    for statement in _SWEEPS:
        db.execute(statement)


@migrations()
def m016_rows_of_boards(db: Database) -> None:
    """What a board shows of every run and evaluation as rows that are ready to be read, and the
    runs whose rows are to be made anew: see `db.tables.board_rows`. Triggers list these runs, so
    that no writer can forget one. The rows are made at the end of the transaction."""
    for statement in (*_BOARD_TABLES, *_triggers_of_boards()):
        db.execute(statement)
    db.execute("INSERT INTO board_stale SELECT id FROM runs")


@migrations()
def m017_latencies(db: Database) -> None:
    """What `drf bench` measures: milliseconds of a run's model for one face, once for each kind of
    hardware, see `db.recording.latencies`."""
    db.execute(_LATENCIES)


@migrations()
def m018_training_data(db: Database) -> None:
    """What the weights of a run learned from: also the data of the runs that it started from, see
    `db.tables.derived`. Boards show it, so that a change of it marks a run as stale."""
    for statement in _TRAINING_DATA:
        db.execute(statement)
    complete_trained_on(db.conn)


BYTES_A_SECOND = 10_000_000
"""Of a store, as steps that make all tables anew rewrite it: 277 s for 2.6 GB, 2 cores."""

_REWRITING = "m009_landmarks_and_scores"


def seconds_for(pending: Sequence[str], size: int) -> float:
    """Return about how long steps take on a store of so many bytes: only one makes all tables
    anew, the others are done in a moment."""
    return size / BYTES_A_SECOND if _REWRITING in pending else 0.0


_RUNS = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO meta VALUES ('revision', 0)",
    """
    CREATE TABLE runs (
        id              TEXT PRIMARY KEY CHECK (length(id) = 32),
        name            TEXT NOT NULL,
        family          TEXT NOT NULL,
        preset          TEXT,
        dataset         TEXT NOT NULL,
        track           TEXT,
        points          TEXT NOT NULL,
        seed            INTEGER NOT NULL,
        epochs          INTEGER,
        params          INTEGER NOT NULL,
        macs            INTEGER NOT NULL,
        provenance      TEXT NOT NULL CHECK (json_valid(provenance)),
        manifest        TEXT NOT NULL CHECK (json_valid(manifest)),
        state           TEXT NOT NULL DEFAULT 'running'
                        CHECK (state IN ('running', 'finished', 'interrupted', 'failed',
                                         'collapsed')),
        reason          TEXT,
        host            TEXT NOT NULL,
        pid             INTEGER NOT NULL,
        process_started REAL NOT NULL,
        started_at      TEXT NOT NULL,
        heartbeat_at    TEXT NOT NULL,
        ended_at        TEXT,
        epoch           INTEGER NOT NULL DEFAULT 0,
        progress        REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
        faces_per_s     REAL,
        wall_s          REAL,
        best_epoch      INTEGER,
        best_val_nme    REAL
    ) STRICT
    """,
    "CREATE INDEX runs_name ON runs (name)",
    """
    CREATE TABLE run_config (
        run    TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL CHECK (json_valid(value)),
        source TEXT NOT NULL,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE epochs (
        run    TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch  INTEGER NOT NULL,
        metric TEXT NOT NULL,
        value  REAL,
        PRIMARY KEY (run, epoch, metric)
    ) STRICT, WITHOUT ROWID
    """,
)

_EVALUATIONS = (
    """
    CREATE TABLE faces (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset    TEXT NOT NULL,
        name       TEXT NOT NULL,
        points     BLOB NOT NULL CHECK (length(points) = 544),
        crop       BLOB,
        to_picture BLOB CHECK (length(to_picture) = 48),
        UNIQUE (dataset, name, points),
        CHECK ((crop IS NULL) = (to_picture IS NULL))
    ) STRICT
    """,
    """
    CREATE TABLE evaluations (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,
        run             TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        dataset         TEXT NOT NULL,
        subset          TEXT NOT NULL,
        points          TEXT NOT NULL,
        n               INTEGER NOT NULL CHECK (n > 0),
        box             TEXT NOT NULL,
        flip_test       INTEGER NOT NULL CHECK (flip_test IN (0, 1)),
        manifest        TEXT NOT NULL CHECK (json_valid(manifest)),
        manifest_digest TEXT,
        ms_per_face     REAL NOT NULL,
        checkpoint      TEXT,
        created_at      TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX evaluations_run ON evaluations (run)",
    """
    CREATE TABLE scores (
        evaluation INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
        norm       TEXT NOT NULL CHECK (norm IN ('ocular', 'pupil')),
        metric     TEXT NOT NULL CHECK (metric IN ('nme', 'fr', 'auc')),
        threshold  REAL,
        value      REAL NOT NULL,
        CHECK ((metric = 'nme') = (threshold IS NULL))
    ) STRICT
    """,
    # NULLs are distinct in a UNIQUE constraint; an index on ifnull() does not let them through.
    "CREATE UNIQUE INDEX scores_one ON scores (evaluation, norm, metric, ifnull(threshold, 0))",
    """
    CREATE TABLE image_errors (
        evaluation INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
        face       INTEGER NOT NULL REFERENCES faces,
        ocular     REAL NOT NULL,
        pupil      REAL NOT NULL,
        prediction BLOB NOT NULL CHECK (length(prediction) = 544),
        PRIMARY KEY (evaluation, face)
    ) STRICT
    """,
    "CREATE INDEX image_errors_face ON image_errors (face)",
)

_GALLERY = (
    """
    CREATE TABLE epoch_predictions (
        run        TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch      INTEGER NOT NULL,
        face       INTEGER NOT NULL REFERENCES faces,
        prediction BLOB NOT NULL CHECK (length(prediction) = 544),
        PRIMARY KEY (run, epoch, face)
    ) STRICT
    """,
    "CREATE INDEX epoch_predictions_face ON epoch_predictions (face)",
    """
    CREATE TABLE leaf_galleries (
        run        TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
        mean_shape BLOB NOT NULL CHECK (length(mean_shape) = 544)
    ) STRICT
    """,
    """
    CREATE TABLE leaves (
        run          TEXT NOT NULL REFERENCES leaf_galleries ON DELETE CASCADE,
        number       INTEGER NOT NULL,
        tree         INTEGER NOT NULL,
        leaf         INTEGER NOT NULL,
        title        TEXT NOT NULL,
        share        REAL NOT NULL CHECK (share BETWEEN 0 AND 1),
        landmarks    TEXT NOT NULL CHECK (json_valid(landmarks)),
        points       BLOB NOT NULL CHECK (length(points) % 8 = 0),
        spread       BLOB NOT NULL CHECK (length(spread) = length(points)),
        height       INTEGER,
        width        INTEGER,
        distribution BLOB CHECK (length(distribution) = 2 * height * width),
        extent       TEXT CHECK (extent IS NULL OR json_valid(extent)),
        PRIMARY KEY (run, number),
        CHECK ((distribution IS NULL) = (extent IS NULL))
    ) STRICT
    """,
    """
    CREATE TABLE leaf_faces (
        run    TEXT NOT NULL,
        number INTEGER NOT NULL,
        face   INTEGER NOT NULL REFERENCES faces,
        weight REAL NOT NULL CHECK (weight BETWEEN 0 AND 1),
        PRIMARY KEY (run, number, face),
        FOREIGN KEY (run, number) REFERENCES leaves ON DELETE CASCADE
    ) STRICT
    """,
    "CREATE INDEX leaf_faces_face ON leaf_faces (face)",
)

_VIEWS = """
    CREATE TABLE views (
        name       TEXT PRIMARY KEY,
        link       TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
"""

_ERROR_VECTORS = (
    """
    CREATE TABLE error_vectors (
        evaluation INTEGER PRIMARY KEY REFERENCES evaluations ON DELETE CASCADE,
        faces      BLOB NOT NULL CHECK (length(faces) % 8 = 0),
        ocular     BLOB NOT NULL CHECK (length(ocular) = length(faces)),
        pupil      BLOB NOT NULL CHECK (length(pupil) = length(faces))
    ) STRICT
    """,
    "CREATE INDEX evaluations_board ON evaluations (dataset, subset, points, box, run, flip_test)",
)


_REVISIONS = (
    "ALTER TABLE evaluations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
    "DROP INDEX evaluations_board",
    "CREATE INDEX evaluations_board"
    " ON evaluations (dataset, subset, points, box, run, flip_test, revision)",
)

_WORDS = (
    """
    CREATE TABLE notes (
        run        TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
        text       TEXT NOT NULL,
        author     TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE tags (
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        tag TEXT NOT NULL COLLATE NOCASE,
        PRIMARY KEY (run, tag)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE stars (
        run TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE views ADD COLUMN title TEXT",
    "ALTER TABLE views ADD COLUMN author TEXT",
    "ALTER TABLE views ADD COLUMN note TEXT",
    """
    CREATE TABLE deletions (
        run        TEXT NOT NULL,
        name       TEXT NOT NULL,
        dataset    TEXT NOT NULL,
        subset     TEXT NOT NULL,
        landmarks  TEXT NOT NULL,
        box        TEXT NOT NULL,
        deleted_at TEXT NOT NULL,
        revision   INTEGER NOT NULL,
        PRIMARY KEY (run, dataset, subset, landmarks, box)
    ) STRICT, WITHOUT ROWID
    """,
)


_SWEEPS = (
    """
    CREATE TABLE sweeps (
        name       TEXT PRIMARY KEY,
        subset     TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE sweep_jobs (
        sweep   TEXT NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        place   INTEGER NOT NULL,
        job     TEXT NOT NULL CHECK (length(job) = 32),
        name    TEXT NOT NULL,
        seed    INTEGER NOT NULL,
        factors TEXT NOT NULL CHECK (json_valid(factors)),
        PRIMARY KEY (sweep, place)
    ) STRICT, WITHOUT ROWID
    """,
)


_BOARD_TABLES = (
    """
    CREATE TABLE board_entries (
        dataset    TEXT NOT NULL,
        subset     TEXT NOT NULL,
        landmarks  TEXT NOT NULL,
        box        TEXT NOT NULL,
        run        TEXT NOT NULL,
        flip_test  INTEGER NOT NULL,
        evaluation INTEGER NOT NULL,
        revision   INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        name       TEXT NOT NULL,
        seed       INTEGER NOT NULL,
        facts      TEXT NOT NULL CHECK (json_valid(facts)),
        numbers    BLOB NOT NULL CHECK (length(numbers) % 8 = 0),
        PRIMARY KEY (dataset, subset, landmarks, box, run, flip_test, evaluation)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX board_entries_run ON board_entries (run)",
    """
    CREATE TABLE board_methods (
        run    TEXT PRIMARY KEY,
        method TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE board_stale (run TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)

_LATENCIES = """
    CREATE TABLE latencies (
        run         TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        hardware    TEXT NOT NULL,
        p50_ms      REAL NOT NULL CHECK (p50_ms > 0),
        p90_ms      REAL NOT NULL CHECK (p90_ms >= p50_ms),
        threads     INTEGER NOT NULL CHECK (threads > 0),
        torch       TEXT NOT NULL,
        measured_at TEXT NOT NULL,
        PRIMARY KEY (run, hardware)
    ) STRICT, WITHOUT ROWID
"""

_TRAINING_DATA = (
    "ALTER TABLE runs ADD COLUMN trained_on TEXT",
    "CREATE TRIGGER stale_runs_trained_on AFTER UPDATE OF trained_on ON runs BEGIN"
    " INSERT INTO board_stale SELECT new.id WHERE new.id NOT IN (SELECT run FROM board_stale); END",
)

_SHOWN = (
    "id, name, family, preset, dataset, track, seed, params, macs, wall_s, state, provenance,"
    " manifest"
)
"""Columns of `runs` that a board shows; a heartbeat writes none of them."""

_RUN_OF = {
    "runs": "SELECT {row}.id AS run",
    "run_config": "SELECT {row}.run AS run",
    "epochs": "SELECT {row}.run AS run",
    "evaluations": "SELECT {row}.run AS run",
    "scores": "SELECT run FROM evaluations WHERE id = {row}.evaluation",
}
"""Tables from which the rows follow -> the run of one of their rows."""

# Not INSERT OR IGNORE: in a trigger, what the statement says counts that made it run.
_MARK = (
    "INSERT INTO board_stale SELECT run FROM ({run})"
    " WHERE run NOT IN (SELECT run FROM board_stale);"
)
_ROWS_OF = {"INSERT": ("new",), "DELETE": ("old",), "UPDATE": ("old", "new")}


def _triggers_of_boards() -> Iterator[str]:
    """Yield what marks a run as stale with every change from which its rows follow."""
    for table, run in _RUN_OF.items():
        for event, rows in _ROWS_OF.items():
            changed = f"UPDATE OF {_SHOWN}" if (table, event) == ("runs", "UPDATE") else event
            marks = " ".join(_MARK.format(run=run.format(row=row)) for row in rows)
            yield (
                f"CREATE TRIGGER stale_{table}_{event.lower()} AFTER {changed} ON {table}"
                f" BEGIN {marks} END"
            )


_EVALUATION_SCORES = """
    CREATE VIEW evaluation_scores AS
    SELECT e.id AS evaluation, e.run, e.dataset, e.subset, e.points, e.box, e.flip_test, e.n,
    max(CASE WHEN s.norm = 'ocular' AND s.metric = 'nme' AND s.threshold IS NULL
        THEN 100 * s.value END) AS ocular_nme,
    max(CASE WHEN s.norm = 'ocular' AND s.metric = 'fr' AND s.threshold IS 0.08
        THEN 100 * s.value END) AS ocular_fr8,
    max(CASE WHEN s.norm = 'ocular' AND s.metric = 'auc' AND s.threshold IS 0.08
        THEN 100 * s.value END) AS ocular_auc8,
    max(CASE WHEN s.norm = 'ocular' AND s.metric = 'fr' AND s.threshold IS 0.10
        THEN 100 * s.value END) AS ocular_fr10,
    max(CASE WHEN s.norm = 'ocular' AND s.metric = 'auc' AND s.threshold IS 0.10
        THEN 100 * s.value END) AS ocular_auc10,
    max(CASE WHEN s.norm = 'pupil' AND s.metric = 'nme' AND s.threshold IS NULL
        THEN 100 * s.value END) AS pupil_nme,
    max(CASE WHEN s.norm = 'pupil' AND s.metric = 'fr' AND s.threshold IS 0.08
        THEN 100 * s.value END) AS pupil_fr8,
    max(CASE WHEN s.norm = 'pupil' AND s.metric = 'auc' AND s.threshold IS 0.08
        THEN 100 * s.value END) AS pupil_auc8,
    max(CASE WHEN s.norm = 'pupil' AND s.metric = 'fr' AND s.threshold IS 0.10
        THEN 100 * s.value END) AS pupil_fr10,
    max(CASE WHEN s.norm = 'pupil' AND s.metric = 'auc' AND s.threshold IS 0.10
        THEN 100 * s.value END) AS pupil_auc10,
    e.ms_per_face, e.checkpoint, e.manifest_digest, e.created_at
    FROM evaluations AS e JOIN scores AS s ON s.evaluation = e.id
    GROUP BY e.id
"""

_LEADERBOARD = """
    CREATE VIEW leaderboard AS
    SELECT rank() OVER (
        PARTITION BY e.dataset, e.subset, e.points, e.box ORDER BY e.ocular_nme
    ) AS rank,
    r.name, r.family,
    e.ocular_nme, e.ocular_fr8, e.ocular_auc8, e.ocular_fr10, e.ocular_auc10,
    e.pupil_nme, e.pupil_fr8, e.pupil_auc8, e.pupil_fr10, e.pupil_auc10,
    e.dataset, e.subset, e.points, e.box, e.flip_test, e.n,
    r.preset, r.track, r.seed, r.params, r.macs,
    json_extract(r.provenance, '$.precision') AS precision, r.wall_s, e.ms_per_face,
    CASE WHEN r.state = 'running'
          AND abs(strftime('%s', 'now') - strftime('%s', r.heartbeat_at)) > 60
         THEN 'stale' ELSE r.state END AS state,
    e.evaluation, e.run, e.checkpoint, e.manifest_digest, e.created_at
    FROM evaluation_scores AS e JOIN runs AS r ON r.id = e.run
    WHERE e.evaluation IN (
        SELECT max(id) FROM evaluations GROUP BY run, dataset, subset, points, box, flip_test
    )
    ORDER BY e.dataset, e.subset, e.points, e.box, e.ocular_nme, e.evaluation
"""
