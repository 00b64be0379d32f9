"""Steps m009 to m011 of the schema, as they were released.

m009  landmarks as a value, scores and normalisers by name, new names of keys and metrics
m010  runs may end as diverged, the floor of every evaluation
m011  the box file as part of the board, how evaluations were computed, what older runs spent

Part of `db.tables.migrations`, which says what a step may do. What m009 renames stands in the three
tables below, copies that stay as they are: what the code calls things later is no business of this
step.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from sqlite_utils import Database

from db.faces import markup
from db.predictions import predictions
from drf.data.floor import floor_nme
from drf.errors import NotFoundError

CONFIG_KEYS = {
    "data.points": "data.landmarks",
    "data.limit": "data.max_train_faces",
    "data.size": "data.synthetic_train_size",
    "data.seed": "data.synthetic_seed",
    "model.coordinate": "model.coordinate_loss_weight",
    "model.likelihood": "model.nll_weight",
    "model.balance": "model.mutual_information_weight",
    "model.reach": "model.window_half_width",
    "model.top": "model.top_k",
    "model.exchange": "model.global_context_dim",
    "model.detail": "model.detail_channels",
    "model.context": "model.context_channels",
    "model.warmup": "model.routing_warmup",
    "model.sigma": "model.label_sigma",
    "model.mask": "model.label_threshold",
    "model.leaf": "model.label_kind",
    "model.metric": "model.kmeans_exponent",
    "model.leaf_start": "model.leaf_init",
    "model.start_iterations": "model.init_iterations",
    "model.expect": "model.expected_shape",
    "training.warmup": "training.lr_warmup",
    "training.ema": "training.ema_decay",
    "training.clip": "training.grad_clip",
    "training.passes": "training.passes_per_epoch",
    "training.keep": "training.checkpoint",
}
"""Configuration keys of version 0.1.0 -> of this step."""

METRICS = {
    "prediction_spread": "prediction_std_ratio",
    "spread_px": "std_px",
}
"""Names of numbers in `epochs`, in the same way."""

PRESETS = {"notes/": "historical/"}
"""Beginnings of names of presets, in the same way."""


def landmarks_and_scores(db: Database) -> None:
    """Apply the step. Needs foreign keys switched off: tables are made anew under their names."""
    if db.execute("PRAGMA foreign_keys").fetchone()[0]:
        raise RuntimeError("dropping a table would delete what refers to it")
    db.execute("DROP VIEW leaderboard")
    db.execute("DROP VIEW evaluation_scores")
    for statement in _NEW:
        db.execute(statement)
    db.execute("INSERT INTO markups VALUES ('ibug68', ?)", [_IBUG68])
    _keep_method_ids(db)
    _fill_face_sets(db)
    for table, (definition, columns) in _CHANGED.items():
        _make_anew(db, table, definition, columns)
    db.execute("DROP TABLE error_vectors")
    db.execute("ALTER TABLE errors_of_norms RENAME TO error_vectors")
    db.execute("ALTER TABLE image_errors RENAME TO predictions")
    db.execute("ALTER TABLE leaves RENAME COLUMN spread TO std")
    for statement in _INDEXES:
        db.execute(statement)
    _rename(db, "run_config", "key", CONFIG_KEYS)
    _rename(db, "epochs", "metric", METRICS)
    for old, new in PRESETS.items():
        _rename_presets(db, old, new)


def _make_anew(db: Database, table: str, definition: str, columns: dict[str, str]) -> None:
    """Give a table another definition. columns: of the new one -> SQL over a row of the old one."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
    db.execute(f"CREATE TABLE anew ({definition}) STRICT{_OPTIONS.get(table, '')}")
    db.execute(
        f"INSERT INTO anew ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {table}"
    )
    db.execute(f"DROP TABLE {table}")
    db.execute(f"ALTER TABLE anew RENAME TO {table}")
    if last is not None:  # ids that were given out are not given out again
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table])
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table, *last])


def _keep_method_ids(db: Database) -> None:
    """Write down which runs each method had: links name methods by a hash over the keys, and the
    keys change their names below."""
    db.conn.executemany(
        "INSERT INTO old_method_ids VALUES (?, ?)",
        [
            (hashlib.sha256(made.encode()).hexdigest()[:12], run)
            for run, made in db.execute(_MADE).fetchall()
        ],
    )


def _fill_face_sets(db: Database) -> None:
    """Turn the errors of each evaluation into an array a normaliser, and keep face ids once."""
    db.execute("INSERT INTO face_sets (faces) SELECT DISTINCT faces FROM error_vectors")
    for norm in ("ocular", "pupil"):
        db.execute(
            f"INSERT INTO errors_of_norms SELECT evaluation, '{norm}', {norm} FROM error_vectors"
        )
    lacking = db.execute(
        "SELECT id FROM evaluations WHERE id NOT IN (SELECT evaluation FROM error_vectors)"
    )
    for (evaluation,) in lacking.fetchall():
        faces = db.execute(
            "SELECT face FROM image_errors WHERE evaluation = ? ORDER BY face", [evaluation]
        )
        ids = np.array([face for (face,) in faces.fetchall()], "<i8").tobytes()
        db.execute("INSERT OR IGNORE INTO face_sets (faces) VALUES (?)", [ids])
        db.execute("INSERT INTO error_vectors VALUES (?, ?, ?, ?)", [evaluation, ids, ids, ids])


def _rename(db: Database, table: str, column: str, names: dict[str, str]) -> None:
    db.execute(
        f"UPDATE {table} SET {column} = (SELECT n.value FROM json_each(:names) AS n"
        f" WHERE n.key = {table}.{column})"
        f" WHERE {column} IN (SELECT n.key FROM json_each(:names) AS n)",
        {"names": json.dumps(names)},
    )


def _rename_presets(db: Database, old: str, new: str) -> None:
    for table, column, before in (("runs", "preset", ""), ("run_config", "source", "preset ")):
        db.execute(
            f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1)"
            f" WHERE substr({column}, 1, length(:old)) = :old",
            {"old": before + old, "new": before + new},
        )


_MADE = """
    SELECT r.id, json_array(
        r.family,
        json_extract(r.manifest, '$.digest'),
        (SELECT json_group_object(c.key, json(c.value)) FROM (
            SELECT key, value FROM run_config WHERE run = r.id AND key != 'training.seed'
            ORDER BY key
        ) AS c)
    )
    FROM runs AS r ORDER BY r.id
"""

_NEW = (
    """
    CREATE TABLE markups (
        name       TEXT PRIMARY KEY,
        definition TEXT NOT NULL CHECK (json_valid(definition))
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE old_method_ids (
        method TEXT NOT NULL,
        run    TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        PRIMARY KEY (method, run)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE face_sets (
        id    INTEGER PRIMARY KEY,
        faces BLOB NOT NULL UNIQUE CHECK (length(faces) % 8 = 0)
    ) STRICT
    """,
    # Gets the name of the table whose content it takes over.
    """
    CREATE TABLE errors_of_norms (
        evaluation INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
        norm       TEXT NOT NULL,
        errors     BLOB NOT NULL CHECK (length(errors) % 8 = 0),
        PRIMARY KEY (evaluation, norm)
    ) STRICT
    """,
)

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
                    CHECK (state IN ('running', 'finished', 'interrupted', 'failed', 'collapsed')),
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

_FACES = """
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    dataset    TEXT NOT NULL,
    name       TEXT NOT NULL,
    markup     TEXT NOT NULL REFERENCES markups,
    points     BLOB NOT NULL CHECK (length(points) % 8 = 0),
    visibility BLOB CHECK (8 * length(visibility) = length(points)),
    crop       BLOB,
    to_picture BLOB CHECK (length(to_picture) = 48),
    CHECK ((crop IS NULL) = (to_picture IS NULL))
"""

_EVALUATIONS = """
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    run             TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    dataset         TEXT NOT NULL,
    subset          TEXT NOT NULL,
    landmarks       TEXT NOT NULL,
    markup          TEXT NOT NULL REFERENCES markups,
    n               INTEGER NOT NULL CHECK (n > 0),
    box             TEXT NOT NULL,
    flip_test       INTEGER NOT NULL CHECK (flip_test IN (0, 1)),
    manifest        TEXT NOT NULL CHECK (json_valid(manifest)),
    manifest_digest TEXT,
    ms_per_face     REAL NOT NULL,
    checkpoint      TEXT,
    created_at      TEXT NOT NULL,
    revision        INTEGER NOT NULL,
    face_set        INTEGER NOT NULL REFERENCES face_sets
"""

_SCORES = """
    evaluation INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
    norm       TEXT NOT NULL,
    score      TEXT NOT NULL,
    value      REAL,
    PRIMARY KEY (evaluation, norm, score)
"""
_OPTIONS = {"scores": ", WITHOUT ROWID"}  # ordered by its key: a board reads it from end to end

_PREDICTIONS = """
    evaluation INTEGER NOT NULL REFERENCES evaluations ON DELETE CASCADE,
    face       INTEGER NOT NULL REFERENCES faces,
    prediction BLOB NOT NULL CHECK (length(prediction) % 8 = 0),
    covariance BLOB CHECK (8 * length(covariance) = 6 * length(prediction)),
    PRIMARY KEY (evaluation, face)
"""

_EPOCH_PREDICTIONS = """
    run        TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    epoch      INTEGER NOT NULL,
    face       INTEGER NOT NULL REFERENCES faces,
    prediction BLOB NOT NULL CHECK (length(prediction) % 8 = 0),
    PRIMARY KEY (run, epoch, face)
"""

_LEAF_GALLERIES = """
    run        TEXT PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    mean_shape BLOB NOT NULL CHECK (length(mean_shape) % 8 = 0)
"""


def _same(*columns: str) -> dict[str, str]:
    return {column: column for column in columns}


_CHANGED = {
    "runs": (
        _RUNS,
        _same("id", "name", "family", "preset", "dataset", "track", "seed", "epochs", "params")
        | _same("macs", "provenance", "manifest", "state", "reason", "host", "pid")
        | _same("process_started", "started_at", "heartbeat_at", "ended_at", "epoch", "progress")
        | _same("faces_per_s", "wall_s")
        | {"landmarks": "points", "markup": "'ibug68'"}
        | {"kept_epoch": "best_epoch", "kept_val_nme": "best_val_nme"},
    ),
    "faces": (
        _FACES,
        _same("id", "dataset", "name", "points", "crop", "to_picture") | {"markup": "'ibug68'"},
    ),
    "evaluations": (
        _EVALUATIONS,
        _same("id", "run", "dataset", "subset", "n", "box", "flip_test", "manifest")
        | _same("manifest_digest", "ms_per_face", "checkpoint", "created_at", "revision")
        | {"landmarks": "points", "markup": "'ibug68'"}
        | {
            "face_set": "(SELECT s.id FROM error_vectors AS v JOIN face_sets AS s"
            " ON s.faces = v.faces WHERE v.evaluation = evaluations.id)"
        },
    ),
    "scores": (
        _SCORES,
        _same("evaluation", "norm", "value")
        | {"score": "metric || ifnull(CAST(round(100 * threshold) AS INTEGER), '')"},
    ),
    "image_errors": (_PREDICTIONS, _same("evaluation", "face", "prediction", "covariance")),
    "epoch_predictions": (_EPOCH_PREDICTIONS, _same("run", "epoch", "face", "prediction")),
    "leaf_galleries": (_LEAF_GALLERIES, _same("run", "mean_shape")),
}
"""Tables -> what they are now, and what becomes of their rows."""

_INDEXES = (
    "CREATE INDEX runs_name ON runs (name)",
    # NULLs are distinct in a UNIQUE constraint; an index on ifnull() does not let them through.
    "CREATE UNIQUE INDEX faces_one"
    " ON faces (dataset, name, markup, points, ifnull(visibility, x''))",
    "CREATE INDEX evaluations_run ON evaluations (run)",
    "CREATE INDEX evaluations_face_set ON evaluations (face_set)",
    "CREATE INDEX evaluations_board"
    " ON evaluations (dataset, subset, landmarks, box, run, flip_test, revision)",
    "CREATE INDEX predictions_face ON predictions (face)",
    "CREATE INDEX epoch_predictions_face ON epoch_predictions (face)",
)

_IBUG68 = """
{"name": "ibug68",
 "groups": {
  "jaw": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  "right_brow": [17, 18, 19, 20, 21], "left_brow": [22, 23, 24, 25, 26],
  "nose_bridge": [27, 28, 29, 30], "nostrils": [31, 32, 33, 34, 35],
  "right_eye": [36, 37, 38, 39, 40, 41], "left_eye": [42, 43, 44, 45, 46, 47],
  "outer_lip": [48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59],
  "inner_lip": [60, 61, 62, 63, 64, 65, 66, 67]},
 "closed": ["inner_lip", "left_eye", "outer_lip", "right_eye"],
 "subsets": {
  "eyes": ["right_eye", "left_eye"], "brows": ["right_brow", "left_brow"],
  "nose": ["nose_bridge", "nostrils"], "mouth": ["outer_lip", "inner_lip"], "jaw": ["jaw"]},
 "flip": [
  16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
  26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28, 29, 30, 35, 34, 33, 32, 31,
  45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
  54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
 "normalisers": {
  "ocular": [[36], [45]],
  "pupil": [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47]]},
 "displayed": [36, 30, 48, 8],
 "titles": {
  "0": "right end", "8": "chin", "16": "left end", "17": "outer end", "21": "inner end",
  "22": "inner end", "26": "outer end", "27": "root", "30": "tip", "33": "base of the septum",
  "36": "outer corner", "39": "inner corner", "42": "inner corner", "45": "outer corner",
  "48": "right corner", "51": "top, middle", "54": "left corner", "57": "bottom, middle",
  "60": "right corner", "62": "top, middle", "64": "left corner", "66": "bottom, middle"}}
"""


_RUNS_M010 = """
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
    db.execute(f"CREATE TABLE anew ({_RUNS_M010}) STRICT")
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

_MADE_M011 = f"""
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
            for run, made in db.execute(_MADE_M011).fetchall()
        ],
    )
