"""Steps m010 and m011 of the schema: runs may end as diverged, the floor of every evaluation; the
box file as part of the board, how evaluations were computed, and what older runs spent.

Part of `db.tables.migrations`, which says what a step may do.
"""

from __future__ import annotations

import hashlib

from sqlite_utils import Database

from db.faces import markup
from db.predictions import predictions
from drf.data.floor import floor_nme
from drf.errors import NotFoundError

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
    for view in ("leaderboard", "evaluation_scores"):  # `db.tables.derived` makes them anew
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


_FILE_DIGEST = "json_extract(manifest, '$.box_file')"

_MADE = f"""
    SELECT r.id, json_array(
        r.family,
        json_extract(r.manifest, '$.digest'),
        (SELECT json_group_object(c.key, json(c.value)) FROM (
            SELECT key, value FROM run_config WHERE run = r.id AND key != 'training.seed'
            ORDER BY key
        ) AS c)
    )
    FROM runs AS r WHERE {_FILE_DIGEST} IS NOT NULL ORDER BY r.id
"""


# A run without a budget of minutes took floor(passes * faces / batch) steps in every epoch.
_SPENT = """
    INSERT OR IGNORE INTO epochs (run, epoch, metric, value)
    WITH known AS (
        SELECT r.id AS run,
            (SELECT max(epoch) FROM epochs AS e WHERE e.run = r.id) AS epoch,
            json_extract(r.manifest, '$.faces') AS faces,
            ifnull((SELECT json_extract(value, '$') FROM run_config AS c
                WHERE c.run = r.id AND key = 'training.passes_per_epoch'), 1) AS passes,
            (SELECT json_extract(value, '$') FROM run_config AS c
                WHERE c.run = r.id AND key = 'training.batch_size') AS batch,
            (SELECT json_extract(value, '$') FROM run_config AS c
                WHERE c.run = r.id AND key = 'training.max_minutes') AS minutes
        FROM runs AS r
    ), counted AS (
        SELECT run, epoch, min(batch, faces) AS batch,
            epoch * (passes * faces / min(batch, faces)) AS steps
        FROM known WHERE minutes = 0 AND epoch IS NOT NULL AND faces > 0 AND batch > 0
    )
    SELECT run, epoch, 'steps', steps FROM counted
    UNION ALL SELECT run, epoch, 'faces_seen', steps * batch FROM counted
"""


def inputs_of_evaluations(db: Database) -> None:
    """Apply the step."""
    db.execute("ALTER TABLE evaluations ADD COLUMN precision TEXT")
    db.execute("ALTER TABLE evaluations ADD COLUMN crop_version INTEGER")
    db.execute(
        f"UPDATE evaluations SET box = 'file-boxes-' || substr({_FILE_DIGEST}, 1, 8)"
        f" WHERE box = 'file' AND length({_FILE_DIGEST}) = 64"
    )
    db.execute(_SPENT)
    # From here on the boxes that a run was trained on are part of its method.
    db.conn.executemany(
        "INSERT OR IGNORE INTO old_method_ids VALUES (?, ?)",
        [
            (hashlib.sha256(made.encode()).hexdigest()[:12], run)
            for run, made in db.execute(_MADE).fetchall()
        ],
    )
