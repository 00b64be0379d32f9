"""The part of the schema that follows from `drf.scores`: SQL that makes columns of rows of scores.

`evaluation_scores` is one row an evaluation, in percent; `leaderboard` the newest of each (run,
dataset, subset, landmarks, box, flip_test), ranked within a board by the NME under the first
normaliser that exists there. A run that claims to be running but has not been heard of for a minute
is shown as stale there too, so that plain sqlite3 never sees a killed run as running for longer
than that. Both are for people with sqlite3: drf reads the tables.
"""

from __future__ import annotations

from sqlite_utils import Database

from drf import scores

_STALE = """CASE WHEN r.state = 'running'
          AND abs(strftime('%s', 'now') - strftime('%s', r.heartbeat_at)) > 60
         THEN 'stale' ELSE r.state END AS state"""
_BOARD = "e.dataset, e.subset, e.landmarks, e.box"


def score_columns() -> str:
    """Return SQL that makes `scores.COLUMNS`, percent, of an evaluation `e`.

    Each is looked up by the key of `scores`: with more columns than a few that is faster than to
    pivot rows, and a view looks up no more than the columns that are asked for.
    """
    return ",\n".join(
        "(SELECT 100 * s.value FROM scores AS s WHERE s.evaluation = e.id"
        f" AND s.norm = '{norm}' AND s.score = '{score}') AS {scores.column(norm, score)}"
        for norm in scores.NORMALISER_KEYS
        for score in scores.SCORE_KEYS
    )


def views() -> dict[str, str]:
    """Return the statements that create the views, by name, in the order in which they can run."""
    columns = ", ".join(f"e.{column}" for column in scores.COLUMNS)
    headlines = [f"e.{scores.column(norm, 'nme')}" for norm in scores.NORMALISER_KEYS]
    ranked = " ".join(f"WHEN max({nme}) OVER board IS NOT NULL THEN {nme}" for nme in headlines)
    return {
        "evaluation_scores": f"""CREATE VIEW evaluation_scores AS
    SELECT e.id AS evaluation, e.run, e.dataset, e.subset, e.landmarks, e.markup, e.box,
    e.flip_test, e.n,
    {score_columns()},
    e.ms_per_face, e.checkpoint, e.manifest_digest, e.created_at
    FROM evaluations AS e""",
        "leaderboard": f"""CREATE VIEW leaderboard AS
    SELECT rank() OVER (PARTITION BY {_BOARD} ORDER BY e.ranked NULLS LAST) AS rank,
    r.name, r.family, {columns},
    {_BOARD}, e.markup, e.flip_test, e.n,
    r.preset, r.track, r.seed, r.params, r.macs,
    json_extract(r.provenance, '$.precision') AS precision, r.wall_s, e.ms_per_face,
    {_STALE},
    e.evaluation, e.run, e.checkpoint, e.manifest_digest, e.created_at
    FROM (
        SELECT e.*, CASE {ranked} END AS ranked FROM evaluation_scores AS e
        WHERE e.evaluation IN (
            SELECT max(id) FROM evaluations GROUP BY run, dataset, subset, landmarks, box, flip_test
        )
        WINDOW board AS (PARTITION BY {_BOARD})
    ) AS e JOIN runs AS r ON r.id = e.run
    ORDER BY {_BOARD}, e.ranked NULLS LAST, e.evaluation""",
    }


def refresh_views(db: Database) -> None:
    """Make the views anew where they are not what `drf.scores` asks for. Call in a transaction."""
    wanted = views()
    found = dict(
        db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'view' AND name IN (?, ?)", [*wanted]
        ).fetchall()
    )
    if found == wanted:
        return
    for name in reversed(wanted):
        db.execute(f"DROP VIEW IF EXISTS {name}")
    for statement in wanted.values():
        db.execute(statement)
