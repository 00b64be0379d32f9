"""Makes hostile stores: a small sound one, and what a stranger may do to the file."""

from __future__ import annotations

import functools
import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from db.connection import open_store
from db.recording import gallery, runs, saved_links, words
from tests.db import examples

Mutation = Callable[[sqlite3.Connection, random.Random], None]

MUTATIONS: dict[str, Mutation] = {}
"""What is done to a store, by name. Each gets a connection that keeps no rule of the schema, but
afterwards the file's schema is what it was, unless it is changed on purpose."""

ESCAPING = "../../././././././././precious_x"
"""A run id of 32 characters that leads out of the store's folder."""

_TABLES_OF_RUNS = (
    *("run_config", "epochs", "evaluations", "old_method_ids", "epoch_predictions"),
    *("leaf_galleries", "leaves", "leaf_faces"),
)
_OBJECTS = (
    *("runs.provenance", "runs.manifest", "markups.definition", "evaluations.manifest"),
    *("leaves.landmarks", "leaves.extent"),
)
_TEXTS = (
    *("runs.name", "runs.host", "runs.provenance", "runs.reason", "run_config.key", "runs.track"),
    *("epochs.metric", "faces.name", "evaluations.subset", "evaluations.checkpoint"),
    *("markups.definition", "views.link", "leaves.title", "run_config.value"),
    *("notes.text", "notes.author", "notes.created_at", "tags.tag", "views.title", "views.note"),
    *("deletions.name", "deletions.deleted_at"),
)
_ODD_TEXTS = (
    *("", " ", "\x1b[31mred\x1b[0m", "a\0b", "../../x", "/etc/passwd", "NaN", "-1", "banana"),
    *(
        "9" * 5000,
        "x" * 300_000,
        "[" * 3000,
        "{}",
        "[]",
        "null",
        '"text"',
        "1e999",
        '{"digest": 1}',
    ),
    *('{"device": {}, "precision": [1], "git_diff": 3}', '"\\ud800"', "\u202etxt", "<b>bold</b>"),
    *("2026-01-01", "2026-13-45T99:99:99Z", "2026-01-01T00:00:00", "=1+1", "--option", "%s%n"),
)
_ODD_NUMBERS = (-1, 0, 7, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1.5, 1e308, 9e999, -9e999)
_ODD_BLOBS = (b"", b"\0", b"\xff" * 7, b"\xff" * 8, b"\0" * 544, b"\xff" * 544, b"\x7f\x80" * 272)


def sound_store(path: Path) -> None:
    """Fill a store: four evaluated runs, the last of them with leaves and faces by epoch, one that
    says it is running, a named view, words on a run, and the trace of a deleted run."""
    ids = examples.filled_store(path)
    with closing(open_store(path)) as db:
        made = examples.evaluation(6)
        crops = examples.crops(made)
        for epoch in (0, 1):
            gallery.record_predictions(db, ids[3], epoch, crops, made.predictions)
        gallery.record_leaves(db, ids[3], examples.gallery(examples.leaf(), examples.whole_face()))
        runs.start_run(db, examples.new_run(name="at work"))
        saved_links.add_view(db, "best", "run?run=3f2a9c1e", title="The best", note="why")
        words.write_note(db, ids[3], "best so far", "somebody")
        words.add_tags(db, ids[3], ["for-paper"])
        words.set_star(db, ids[3], starred=True)
        runs.delete_run(db, examples.add_finished_run(db, name="deleted"))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_hostile(path: Path, seed: int) -> list[str]:
    """Do to a sound store what follows from a seed: one thing, sometimes two or three; return what.

    Seeds count through all that there is.
    """
    chance = random.Random(seed)
    names = [[*MUTATIONS][seed % len(MUTATIONS)]]
    names += chance.sample([*MUTATIONS], k=chance.choice((0, 0, 0, 1, 2)))
    # A trigger comes last: it would run for what is done here after it, with nothing to stop it.
    names.sort(key=lambda name: name.startswith("trigger"))
    done = []
    for name in names:
        try:
            with lawless(path) as con:
                MUTATIONS[name](con, chance)
        except sqlite3.Error:  # after what was done before it cannot be done
            continue
        done.append(name)
    return done


@contextmanager
def lawless(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to tables without types, NOT NULL, CHECK and keys to other tables.

    Afterwards the schema says again what it said before, but the rows stay.
    """
    before = _statements(path)
    _declare(path, {name: _loosened(sql) for name, sql in before.items()})
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA journal_mode = DELETE")
        con.execute("PRAGMA ignore_check_constraints = ON")
        try:
            yield con
        finally:
            con.close()
            now = _statements(path)
            _declare(path, {name: sql for name, sql in before.items() if name in now})


def _loosened(sql: str) -> str:
    free = re.sub(r"\)\s*STRICT,?", ")", sql)
    return re.sub(r"\bNOT NULL\b|\b(?:TEXT|BLOB|REAL|ANY)\b|\bINTEGER\b(?! PRIMARY)", "", free)


def _statements(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as con:
        rows = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: sql for name, sql in rows if not name.startswith(("sqlite_", "_"))}


def _declare(path: Path, statements: dict[str, str]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA writable_schema = ON")
        for name, sql in statements.items():
            con.execute(
                "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", [sql, name]
            )
        (version,) = con.execute("PRAGMA schema_version").fetchone()
        con.execute(f"PRAGMA schema_version = {version + 1}")


def _mutation(make: Mutation) -> Mutation:
    MUTATIONS[make.__name__.replace("_", " ").strip()] = make
    return make


def _some_row(con: sqlite3.Connection, chance: random.Random, table: str) -> str:
    """Return a condition that holds for one row of a table."""
    keys = [row[1] for row in con.execute(f"PRAGMA table_info({table})") if row[5]]
    chosen = ", ".join(f"quote({key})" for key in keys)
    rows = con.execute(f"SELECT {chosen} FROM {table}").fetchall()
    row = chance.choice(rows)
    return " AND ".join(f"{key} = {value}" for key, value in zip(keys, row, strict=True))


def _put(con: sqlite3.Connection, chance: random.Random, place: str, value: object) -> None:
    table, _, column = place.partition(".")
    row = _some_row(con, chance, table)
    con.execute(f"UPDATE {table} SET {column} = ? WHERE {row}", [value])


def _broken(text: bytes) -> str:
    return f"CAST(x'{text.hex()}' AS TEXT)"


@_mutation
def run_id_that_is_a_path(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = chance.choice([ESCAPING, "/tmp/" + "x" * 27, ".." + "/" * 30, "\x1b" * 32, "A" * 32])
    old = con.execute("SELECT id FROM runs ORDER BY id").fetchone()[0]
    con.execute("UPDATE runs SET id = ? WHERE id = ?", [odd, old])
    for table in _TABLES_OF_RUNS:
        con.execute(f"UPDATE {table} SET run = ? WHERE run = ?", [odd, old])


@_mutation
def run_id_of_another_length(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = chance.choice(["", "..", ".", "0" * 31, "0" * 33, "0" * 31 + "\0" + "/../x", "drf.db"])
    con.execute("UPDATE runs SET id = ? WHERE id = (SELECT min(id) FROM runs)", [odd])


@_mutation
def checkpoint_that_is_a_path(con: sqlite3.Connection, chance: random.Random) -> None:
    _put(con, chance, "evaluations.checkpoint", chance.choice(["../../precious_x/keep", "..", ""]))


@_mutation
def json_that_is_none(con: sqlite3.Connection, chance: random.Random) -> None:
    place = chance.choice([*_OBJECTS, "run_config.value"])
    odd = [
        "",
        "{",
        "[" * 5000,
        "nul",
        "{'a': 1}",
        "NaN",
        '{"a": 1e999}',
        "\x00",
        "[" * 900 + "]" * 900,
    ]
    _put(con, chance, place, chance.choice(odd))


@_mutation
def json_of_another_kind(con: sqlite3.Connection, chance: random.Random) -> None:
    place = chance.choice(_OBJECTS)
    odd = [[], 3, None, "text", {"device": [], "precision": {}, "git_commit": 5, "git_diff": 7}]
    odd += [{"digest": {}}, [1.5, "x"], [-1, 10**30], {"groups": {}, "flip": [0]}, ["a"], {}]
    _put(con, chance, place, json.dumps(chance.choice(odd)))


@_mutation
def markup_of_another_shape(con: sqlite3.Connection, chance: random.Random) -> None:
    held = json.loads(con.execute("SELECT definition FROM markups").fetchone()[0])
    key = chance.choice([*held])
    held[key] = chance.choice([None, [], {}, 3, [10**9], {"x": [5000]}, {"x": "y"}, [[0]]])
    con.execute("UPDATE markups SET definition = ?", [json.dumps(held)])


@_mutation
def blob_of_another_length(con: sqlite3.Connection, chance: random.Random) -> None:
    _put(con, chance, chance.choice(_BLOB_COLUMNS), chance.choice(_ODD_BLOBS))


@_mutation
def text_in_a_blob(con: sqlite3.Connection, chance: random.Random) -> None:
    _put(con, chance, chance.choice(_BLOB_COLUMNS), chance.choice(_ODD_TEXTS))


_BLOB_COLUMNS = (
    *("faces.points", "faces.visibility", "faces.crop", "faces.to_picture", "face_sets.faces"),
    *("predictions.prediction", "predictions.covariance", "error_vectors.errors"),
    *("epoch_predictions.prediction", "leaf_galleries.mean_shape", "leaves.points", "leaves.std"),
    "leaves.distribution",
)


@_mutation
def date_that_is_none(con: sqlite3.Connection, chance: random.Random) -> None:
    column = chance.choice(["started_at", "heartbeat_at", "ended_at"])
    odd = ["banana", "", "2026-01-01T00:00:00", "2026-13-45T00:00:00Z", "9999999-01-01T00:00:00Z"]
    con.execute(f"UPDATE runs SET {column} = ?", [chance.choice(odd)])


@_mutation
def date_of_an_evaluation_that_is_none(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE evaluations SET created_at = ?", [chance.choice(["x" * 40, "", "1e9"])])


@_mutation
def process_that_is_none(con: sqlite3.Connection, chance: random.Random) -> None:
    pid = chance.choice([-1, 0, 2**31, 2**62, -(2**62), 1.5, "x", None])
    con.execute("UPDATE runs SET pid = ?, state = 'running'", [pid])


@_mutation
def state_that_is_none(con: sqlite3.Connection, chance: random.Random) -> None:
    _put(con, chance, "runs.state", chance.choice(["done", "", "\x1b[2J", 3, None]))


@_mutation
def progress_beyond_its_end(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE runs SET progress = ?", [chance.choice([7.0, -3.0, 9e999, "much"])])


@_mutation
def infinite_scores(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE scores SET value = ?", [chance.choice([9e999, -9e999])])


@_mutation
def huge_and_negative_scores(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE scores SET value = ?", [chance.choice([1e300, -5.0, 0.0, 1e-320])])


@_mutation
def infinite_values_of_a_curve(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE epochs SET value = ?", [chance.choice([9e999, -9e999, 1e308])])


@_mutation
def epochs_far_away(con: sqlite3.Connection, chance: random.Random) -> None:
    far = chance.choice([2**62, -(2**62), 10**12])
    con.execute("UPDATE epochs SET epoch = ? WHERE epoch = 1", [far])
    con.execute("UPDATE epoch_predictions SET epoch = ? WHERE epoch = 1", [far])


@_mutation
def predictions_of_nan(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE predictions SET prediction = ?", [b"\0\0\xc0\x7f" * 136])


@_mutation
def infinite_predictions(con: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["predictions", "epoch_predictions"])
    con.execute(f"UPDATE {table} SET prediction = ?", [b"\0\0\x80\x7f" * 136])


@_mutation
def huge_predictions(con: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["predictions", "epoch_predictions"])
    con.execute(f"UPDATE {table} SET prediction = ?", [b"\xff\xff\x7f\x7f" * 136])


@_mutation
def ground_truth_of_nan(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE faces SET points = ?", [b"\0\0\xc0\x7f" * 136])


@_mutation
def maps_of_nan(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = chance.choice([b"\xff" * 48, b"\0" * 48, b"\x7f\xef" + b"\xff" * 46])
    con.execute("UPDATE faces SET to_picture = ?", [odd])


@_mutation
def pictures_that_are_none(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = [b"\xff\xd8\xff\xe0", b"GIF89a" + b"\xff" * 90, b"\x89PNG\r\n\x1a\n" + b"\0" * 30, b" "]
    con.execute("UPDATE faces SET crop = ?", [chance.choice([*odd, _huge_picture()])])


@functools.cache
def _huge_picture() -> bytes:
    """A JPEG of a few hundred bytes whose header says 65,000 x 65,000."""
    made = examples.crops(examples.evaluation(1))[0].jpeg
    at = made.index(b"\xff\xc0")
    size = (65_000).to_bytes(2, "big")
    return made[: at + 5] + size + size + made[at + 9 :]


@_mutation
def text_that_is_no_utf8(con: sqlite3.Connection, chance: random.Random) -> None:
    place = chance.choice(_TEXTS)
    table, _, column = place.partition(".")
    text = _broken(
        chance.choice([b"\xff\xfe", b"a\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80"])
    )
    con.execute(f"UPDATE {table} SET {column} = {text} WHERE {_some_row(con, chance, table)}")


@_mutation
def control_characters_in_names(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = chance.choice(["\x1b]0;owned\x07", "\x1b[2J", "a\nb\rc", "\u202eevil", "\x9b31m"])
    con.execute("UPDATE runs SET name = ?, family = ?, preset = ?, host = ?", [odd] * 4)
    con.execute("UPDATE evaluations SET dataset = ?, box = ?", [odd] * 2)


@_mutation
def huge_text(con: sqlite3.Connection, chance: random.Random) -> None:
    column = chance.choice(["name", "family", "reason", "host", "preset"])
    con.execute(
        f"UPDATE runs SET {column} = printf('%.*c', ?, 'x')", [chance.choice([10**5, 10**7])]
    )


@_mutation
def value_larger_than_any(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE faces SET crop = zeroblob(70000000) WHERE id = 1")


@_mutation
def unknown_landmark_subset(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("UPDATE evaluations SET landmarks = ?", [chance.choice(["ears", "", "../x"])])


@_mutation
def unknown_markup(con: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["evaluations", "runs", "faces"])
    con.execute(f"UPDATE {table} SET markup = 'nobody68'")


@_mutation
def faces_that_are_not_there(con: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["faces", "face_sets", "predictions", "error_vectors", "markups"])
    con.execute(f"DELETE FROM {table} WHERE {_some_row(con, chance, table)}")


@_mutation
def rows_of_a_run_that_is_not_there(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("DELETE FROM runs WHERE id = (SELECT min(id) FROM runs)")


@_mutation
def meta_of_another_kind(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = chance.choice(["x", b"\0", -(2**63), 2**63 - 1, 9e999, ""])
    con.execute("UPDATE meta SET value = ? WHERE key = 'revision'", [odd])


@_mutation
def meta_without_a_revision(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("DELETE FROM meta")


@_mutation
def links_that_are_none(con: sqlite3.Connection, chance: random.Random) -> None:
    odd = ["", "javascript:alert(1)?a=b", "http://[", "run?run", "?view=best", "x" * 40_000]
    con.execute("UPDATE views SET link = ?", [chance.choice(odd)])


@_mutation
def leaf_of_no_size(con: sqlite3.Connection, chance: random.Random) -> None:
    height, width = chance.choice([(0, 0), (-5, -7), (10**9, 10**9), (None, 7), (7, 5), ("x", 1)])
    con.execute("UPDATE leaves SET height = ?, width = ?", [height, width])


@_mutation
def anything_anywhere(con: sqlite3.Connection, chance: random.Random) -> None:
    """A value of any type in three columns of any table."""
    tables = con.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    for _ in range(3):
        (table,) = chance.choice(tables)
        columns = [row[1] for row in con.execute(f"PRAGMA table_info({table})")]
        odd = chance.choice([*_ODD_TEXTS, *_ODD_NUMBERS, *_ODD_BLOBS, None])
        if con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]:
            _put(con, chance, f"{table}.{chance.choice(columns)}", odd)


@_mutation
def more_of_anything_anywhere(con: sqlite3.Connection, chance: random.Random) -> None:
    anything_anywhere(con, chance)
    anything_anywhere(con, chance)


@_mutation
def trigger_that_writes(con: sqlite3.Connection, chance: random.Random) -> None:
    """What `drf db migrate` ran until it had written 1.2 GB."""
    table, event = chance.choice(
        [("meta", "UPDATE"), ("runs", "DELETE"), ("views", "INSERT"), ("runs", "UPDATE")]
    )
    con.execute(
        f"CREATE TRIGGER grow AFTER {event} ON {table} BEGIN INSERT INTO epochs"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40000000)"
        " SELECT 'x', i, printf('%.1000c', 'x'), 0 FROM n; END"
    )


@_mutation
def trigger_on_a_view(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute(
        "CREATE TRIGGER instead INSTEAD OF DELETE ON leaderboard BEGIN DELETE FROM runs; END"
    )


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@_mutation
def view_that_never_ends(con: sqlite3.Connection, chance: random.Random) -> None:
    """In place of one of ours."""
    name = chance.choice(["leaderboard", "evaluation_scores"])
    con.execute(f"DROP VIEW {name}")
    con.execute(f"CREATE VIEW {name} AS {_ENDLESS} SELECT count(*) AS evaluation FROM n")


@_mutation
def view_in_place_of_a_table(con: sqlite3.Connection, chance: random.Random) -> None:
    name = chance.choice(["meta", "scores", "epochs", "views", "old_method_ids"])
    con.execute(f"ALTER TABLE {name} RENAME TO other")
    con.execute(f"CREATE VIEW {name} AS {_ENDLESS} SELECT 'revision' AS key, i AS value FROM n")


@_mutation
def view_in_place_of_the_steps(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("DROP TABLE _sqlite_migrations")
    con.execute(
        f"CREATE VIEW _sqlite_migrations AS {_ENDLESS}"
        " SELECT i AS id, 'drf' AS migration_set, 'm001_runs' AS name, '' AS applied_at FROM n"
    )


@_mutation
def generated_column(con: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["runs", "evaluations", "scores", "faces"])
    con.execute(f"ALTER TABLE {table} ADD COLUMN big TEXT AS (hex(zeroblob(400000000)))")
    _keep_schema(con, table)


@_mutation
def default_that_is_huge(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("ALTER TABLE runs ADD COLUMN big DEFAULT 'x'")
    _keep_schema(con, "runs")


def _keep_schema(con: sqlite3.Connection, table: str) -> None:
    """Give the changed table another name in the file's schema, so that `lawless` leaves it."""
    con.execute(f"ALTER TABLE {table} RENAME TO {table}2")


@_mutation
def virtual_table(con: sqlite3.Connection, chance: random.Random) -> None:
    name = chance.choice(["searched", "views"])
    con.execute("DROP TABLE IF EXISTS views")
    con.execute(f"CREATE VIRTUAL TABLE {name} USING fts5(name, link, created_at)")


@_mutation
def index_of_an_expression(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute("CREATE INDEX slow ON runs (length(printf('%.*c', 10000000, name)))")


@_mutation
def missing_table(con: sqlite3.Connection, chance: random.Random) -> None:
    tables = ["meta", "runs", "evaluations", "scores", "faces", "markups", "epochs", "views"]
    con.execute(f"DROP TABLE {chance.choice([*tables, '_sqlite_migrations'])}")


@_mutation
def missing_column(con: sqlite3.Connection, chance: random.Random) -> None:
    table, column = chance.choice(
        [("runs", "wall_s"), ("evaluations", "checkpoint"), ("leaves", "title"), ("runs", "host")]
    )
    for name in ("leaderboard", "evaluation_scores"):
        con.execute(f"DROP VIEW IF EXISTS {name}")
    con.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    _keep_schema(con, table)


@_mutation
def steps_that_no_drf_applies(con: sqlite3.Connection, chance: random.Random) -> None:
    sql = chance.choice(
        [
            "DELETE FROM _sqlite_migrations WHERE name LIKE 'm003%'",
            "DELETE FROM _sqlite_migrations WHERE name LIKE 'm009%'",
            "DELETE FROM _sqlite_migrations",
            "UPDATE _sqlite_migrations SET name = 'm999_later' WHERE name LIKE 'm009%'",
            f"UPDATE _sqlite_migrations SET name = {_broken(b'm009')} WHERE name LIKE 'm009%'",
        ]
    )
    con.execute(sql)


@_mutation
def another_application(con: sqlite3.Connection, chance: random.Random) -> None:
    con.execute(f"PRAGMA application_id = {chance.choice([0, 1, -1])}")
