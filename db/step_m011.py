"""Step m011 of the schema: the box file as part of the board, how evaluations were computed, and
what older runs spent.

Part of `db.migrations`, which says what a step may do.
"""

from __future__ import annotations

import hashlib

from sqlite_utils import Database

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
