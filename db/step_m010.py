"""Step m010 of the schema: runs may end as diverged; the floor of every evaluation.

Part of `db.migrations`, which says what a step may do.
"""

from __future__ import annotations

from sqlite_utils import Database

from db.faces import markup
from db.predictions import predictions
from drf.errors import NotFoundError
from drf.floor import floor_nme

_RUNS = """
    id              TEXT PRIMARY KEY CHECK (length(id) = 32),
    name            TEXT NOT NULL,
    family          TEXT NOT NULL,
    preset          TEXT,
    dataset         TEXT NOT NULL,
    track           TEXT,
    landmarks       TEXT NOT NULL,
    markup          TEXT NOT NULL REFERENCES markups,
    seed            INTEGER NOT NULL,
    epochs          INTEGER,
    params          INTEGER NOT NULL,
    macs            INTEGER NOT NULL,
    provenance      TEXT NOT NULL CHECK (json_valid(provenance)),
    manifest        TEXT NOT NULL CHECK (json_valid(manifest)),
    state           TEXT NOT NULL DEFAULT 'running'
                    CHECK (state IN ('running', 'finished', 'interrupted', 'failed', 'collapsed',
                                     'diverged')),
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
    kept_epoch      INTEGER,
    kept_val_nme    REAL
"""


def diverged_runs_and_floors(db: Database) -> None:
    """Apply the step. Needs foreign keys switched off: `runs` is made anew under its name."""
    if db.execute("PRAGMA foreign_keys").fetchone()[0]:
        raise RuntimeError("dropping a table would delete what refers to it")
    for view in ("leaderboard", "evaluation_scores"):  # `db.derived` makes them anew
        db.execute(f"DROP VIEW IF EXISTS {view}")
    db.execute(f"CREATE TABLE anew ({_RUNS}) STRICT")
    db.execute("INSERT INTO anew SELECT * FROM runs")  # m009 has the columns in this order
    db.execute("DROP TABLE runs")
    db.execute("ALTER TABLE anew RENAME TO runs")
    db.execute("CREATE INDEX runs_name ON runs (name)")
    db.execute("ALTER TABLE evaluations ADD COLUMN floor_nme REAL")
    _estimate_floors(db)


def _estimate_floors(db: Database) -> None:
    """Write the floor of older evaluations whose boxes follow from the labels; once for all that
    are of the same faces."""
    groups = db.execute(
        "SELECT face_set, markup, landmarks, min(id) FROM evaluations WHERE box = 'gt'"
        " GROUP BY face_set, markup, landmarks"
    )
    for face_set, name, landmarks, evaluation in groups.fetchall():
        try:
            _, truth, _ = predictions(db.conn, evaluation)
            floor = floor_nme(truth, markup(db.conn, name), landmarks)
        except (ValueError, NotFoundError):  # damaged arrays: `drf db check` says which
            continue
        db.execute(
            "UPDATE evaluations SET floor_nme = ?"
            " WHERE box = 'gt' AND face_set = ? AND markup = ? AND landmarks = ?",
            [floor, face_set, name, landmarks],
        )
