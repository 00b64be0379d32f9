"""Reads: DataFrames and arrays for the command line and the app. Every function takes a reader.

Of runs and boards; `predictions` reads faces, `gallery` what a run looks like from inside.
Fractions stay fractions (columns *_nme of `curves`); the score columns of `leaderboard` and
`evaluations`, `drf.scoring.scores.COLUMNS`, are percent.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from db import method_ids, status
from db.faces import markup as markup
from db.tables import board_rows
from db.tables.derived import score_columns
from drf.data import floor
from drf.errors import NotFoundError, StoreError, quoted
from drf.scoring import scores

BOARD = ("dataset", "subset", "landmarks", "box")
"""Rows that agree in these columns compare; together they are one board."""

_SPENT = ("epochs_trained", "steps", "faces_seen")
_DTYPES = (  # where every value is NULL or there is no row, pandas cannot tell
    dict.fromkeys(("epochs", "kept_epoch", "crop_version", "params", "macs"), "Int64")
    | dict.fromkeys(_SPENT, "float64")
    | dict.fromkeys(("wall_s", "ms_per_face", "faces_per_s", "kept_val_nme"), "float64")
    | dict.fromkeys(("value", "floor_nme", "last_epoch"), "float64")
    | {"flip_test": "bool"}
)
_OF_RUN = f"""
    SELECT e.id AS evaluation, e.run, e.dataset, e.subset, e.landmarks, e.markup, e.box,
        e.flip_test, e.n, {status.MS_PER_FACE}, json_extract(e.manifest, '$.machine') AS machine,
        e.checkpoint, e.manifest_digest, e.created_at,
        e.precision AS eval_precision, e.crop_version
    FROM evaluations AS e WHERE e.run = ? ORDER BY e.id DESC
"""
_DESCRIBED = (
    *(*BOARD, "markup", "flip_test", "n", "preset", "track", "trained_on", "started_from"),
    *("seed", "params", "macs"),
    *("precision", *_SPENT, "wall_s", "device", "hardware", "threads", "ms_per_face", "status"),
    *("condition", "evaluation", "run", "checkpoint", "manifest_digest", "created_at"),
    *("eval_precision", "crop_version"),
)
_LIFE = ("state", "heartbeat_at", "host", "pid", "process_started")


def revision(con: sqlite3.Connection) -> int:
    """Return a number that every write counts up: the key of caches."""
    return int(con.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def running_runs(con: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (run, status) of every run that says it is running. What no write tells: whether it
    is; everything else that these functions return changes with `revision` alone."""
    names = ("id", *_LIFE)
    found = con.execute(f"SELECT {', '.join(names)} FROM runs WHERE state = 'running' ORDER BY id")
    rows = [dict(zip(names, values, strict=True)) for values in found]
    return [(str(row["id"]), status.of_run(row)) for row in rows]


def leaderboard(
    con: sqlite3.Connection,
    *,
    dataset: str | None = None,
    subset: str | None = None,
    landmarks: str | None = "all",
    box: str | None = None,
    at_revision: int | None = None,
) -> pd.DataFrame:
    """Return the newest evaluation of every run on every board, ranked in each by the
    column that `ranked_by` names; what is not finished and sound (`db.status`) comes last, without
    a rank.

    Columns: rank, name, family, scores.COLUMNS (percent; NaN where a normaliser exists on none of
    the faces), BOARD, markup, flip_test (bool), n, preset, track, trained_on (its dataset and
    those of the runs that it started from, see `db.tables.derived`; None where it is not
    known), started_from (id of the run whose weights it started from, or None), seed, params, macs,
    precision, epochs_trained, steps, faces_seen (NaN where not known), wall_s, device, hardware,
    threads, ms_per_face, status, condition, evaluation (id), run (id), checkpoint, manifest_digest,
    created_at, eval_precision, crop_version (see docs/store.md).
    None selects all of a column; a filter that matches nothing returns no rows.

    at_revision: only evaluations that the store had at that revision, so the board as it was, but
    for runs that were deleted since; what a run itself says, its name and status, is of today.
    """
    wanted = {"dataset": dataset, "subset": subset, "landmarks": landmarks, "box": box}
    given = {column: value for column, value in wanted.items() if value is not None}
    rows = board_rows.newest(con, given, at_revision)
    *plain, facts, blobs = list(zip(*rows, strict=True)) or [()] * (len(board_rows.PLAIN) + 2)
    kinds, kind = _facts(facts)
    numbers = board_rows.numbers_of(blobs)
    values = 100 * numbers[:, : len(scores.COLUMNS)]
    if np.isinf(values).any():
        raise StoreError("the store contains an infinite score; `drf db check` shows which")
    columns: dict[str, Any] = dict(zip(board_rows.PLAIN, plain, strict=True))
    columns |= dict(zip(scores.COLUMNS, values.T, strict=True))
    columns |= dict(zip(board_rows.OTHERS, numbers[:, len(scores.COLUMNS) :].T, strict=True))
    columns = {name: _column(name, of) for name, of in columns.items()}
    columns |= {name: kinds[name].array.take(kind) for name in kinds}
    columns |= _lives(con, columns)

    boards = _boards(kinds)[kind]
    headlines = values[:, [scores.COLUMNS.index(name) for name in _headlines()]]
    ranked = np.empty(len(rows))
    for board in np.unique(boards):
        of_board = boards == board
        ranked[of_board] = headlines[of_board, _first_known(headlines[of_board])]
    own = headlines[np.arange(len(rows)), (~np.isnan(headlines)).argmax(axis=1)]
    floors = 100 * _floors(con, kinds, at_revision)[kind]
    columns["condition"] = status.of_evaluations(columns["status"], own, floors)
    sound = (columns["condition"] == status.FINISHED).to_numpy(dtype=bool)
    of_sound = pd.Series(ranked)[sound].groupby(boards[sound])
    rank = of_sound.rank(method="min", na_option="bottom").reindex(range(len(rows)))
    columns["rank"] = rank.astype("Int64")
    order = np.lexsort((columns["evaluation"], ranked, ~sound, boards))
    shown = ["rank", "name", "family", *scores.COLUMNS, *_DESCRIBED]
    return pd.DataFrame({name: columns[name] for name in shown}).take(order).reset_index(drop=True)


def _facts(texts: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the different ones of the facts of rows, as `board_rows.FACTS` of a frame, and which
    row of it has those of each: (n,) int."""
    number: dict[str, int] = {}
    place = np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.intp)
    columns = list(zip(*map(json.loads, number), strict=True)) or [()] * len(board_rows.FACTS)
    made = {name: _column(name, of) for name, of in zip(board_rows.FACTS, columns, strict=True)}
    return pd.DataFrame(made), place


def _floors(con: sqlite3.Connection, kinds: pd.DataFrame, at_revision: int | None) -> np.ndarray:
    """Return the floor of each row of `board_rows.FACTS`, see `db.status`: (n,) fractions, NaN
    where there is none."""
    measured = con.execute(f"{status.measured(at_revision)} SELECT * FROM measured")
    best = {tuple(place): nme for *place, nme in measured if nme is not None}
    places = zip(*(kinds[column].tolist() for column in status.PLACE), strict=True)
    known = zip(places, kinds["floor_nme"].tolist(), strict=True)
    floors = np.array([best.get(place, estimated) for place, estimated in known], dtype=np.float64)
    return np.where(kinds["family"] == floor.FAMILY, np.nan, floors)


def _boards(kinds: pd.DataFrame) -> np.ndarray:
    """Return the number of the board of each row, in their order: (n,) int."""
    of_rows = list(zip(*(kinds[column].tolist() for column in BOARD), strict=True))
    number = {board: i for i, board in enumerate(sorted(set(of_rows)))}
    return np.array([number[board] for board in of_rows], dtype=np.int64)


def _lives(con: sqlite3.Connection, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return `status` of the run of each row, and its `wall_s`, also where it has not written that
    down. Of most runs, which have ended, there is nothing to look up."""
    state, wall_s = pd.Series(columns["state"]), columns["wall_s"]
    some = np.flatnonzero((state == "running").to_numpy(dtype=bool) | np.isnan(wall_s)).tolist()
    if not some:
        return {"status": state}
    names = ("id", "family", "started_at", *_LIFE)
    lives = con.execute(
        f"SELECT {', '.join(names)} FROM runs WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps([columns["run"][i] for i in some])],
    )
    life_of = {life[0]: dict(zip(names, life, strict=True)) for life in lives}
    found = state.tolist()
    for i in some:
        life = life_of[columns["run"][i]]
        found[i] = status.of_run(life)
        if np.isnan(wall_s[i]):
            wall_s[i] = status.wall_s(life)
    return {"status": pd.Series(found), "wall_s": wall_s}


def ranked_by(rows: pd.DataFrame) -> str:
    """Return the column that ranks a board: the NME under the first normaliser that exists there,
    for most markups ocular_nme."""
    columns = _headlines()
    return columns[_first_known(rows[columns].to_numpy())]


def board_filters(con: sqlite3.Connection, *, at_revision: int | None = None) -> pd.DataFrame:
    """Return the boards there are: BOARD and `entries`, the number of rows on each.

    at_revision: as in `leaderboard`.
    """
    board = ", ".join(BOARD)
    # Not from the view `leaderboard`: it would add up every score in order to count rows.
    return _frame(
        con,
        f"SELECT {board}, count(*) AS entries FROM (SELECT DISTINCT {board}, run, flip_test"
        " FROM evaluations WHERE revision <= ifnull(?, revision))"
        f" GROUP BY {board} ORDER BY {board}",
        [at_revision],
    )


def runs(con: sqlite3.Connection) -> pd.DataFrame:
    """Return every run, newest first, without its configuration.

    Columns: those of table `runs` but provenance and manifest, as `db.status` puts them right, and
    precision, device, git_commit, status (one of `db.status.STATUSES`), condition (`db.status`).
    """
    shown = [c for c in _columns(con, "runs") if c not in ("provenance", "manifest")]
    columns = ", ".join(map(status.known_as, shown))
    frame = _with_status(
        _frame(
            con,
            f"SELECT {columns}, json_extract(provenance, '$.precision') AS precision,"
            " json_extract(provenance, '$.device') AS device,"
            " json_extract(provenance, '$.git_commit') AS git_commit,"
            " (SELECT max(epoch) FROM epochs WHERE run = runs.id) AS last_epoch"
            " FROM runs ORDER BY started_at DESC, id",
        )
    )
    frame["condition"] = status.of_runs(con, frame)
    return _settled(con, frame).drop(columns="last_epoch")


def find_run(con: sqlite3.Connection, text: str) -> str:
    """Return the id of the one run whose id begins with `text` or whose name is `text`; also of the
    one run of the method whose id begins with it, since boards show both.

    Raises NotFoundError if there is none (naming similar ones) or several (listing them).
    """
    found = con.execute(
        "SELECT id, name, started_at FROM runs"
        " WHERE name = :text OR (:text != '' AND substr(id, 1, length(:text)) = lower(:text))"
        " ORDER BY started_at DESC, id",
        {"text": text},
    ).fetchall()
    if len(found) == 1:
        return str(found[0][0])
    if found:
        listed = ", ".join(
            f"{run[:8]} ({name}, {started[:16]})" for run, name, started in found[:10]
        )
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise NotFoundError(
            f"{quoted(text)} matches {len(found)} runs: {listed}{more}; use one of the ids"
        )
    if of_method := method_ids.runs_of(con, text):
        if len(of_method) == 1:
            return of_method[0]
        listed = ", ".join(run[:8] for run in of_method[:10])
        raise NotFoundError(
            f"{text!r} is a method of {len(of_method)} runs, which differ in their seed: {listed};"
            " use one of these ids"
        )
    # Comparing long texts takes for ever.
    names = {name for (name,) in con.execute("SELECT name FROM runs WHERE length(name) < 200")}
    near = difflib.get_close_matches(text, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`drf runs list` shows what there is"
    raise NotFoundError(f"no run has the name or an id that begins with {quoted(text)}; {hint}")


def name_of_run(con: sqlite3.Connection, run_id: str) -> tuple[str, int]:
    """Return name and number of evaluations of a run that is there (full id); reads nothing else,
    so that a run with faulty contents can be deleted."""
    row = con.execute(
        "SELECT name, (SELECT count(*) FROM evaluations WHERE run = runs.id)"
        " FROM runs WHERE id = ?",
        [run_id],
    ).fetchone()
    return str(row[0]), int(row[1])


def run(con: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """Return every column of a run (full id), as `db.status` puts them right, and

    status       one of `db.status.STATUSES`
    condition    see `db.status`
    unranked_because   one sentence, None where it is ranked or nothing more is known
    epochs_trained, steps, faces_seen, device, hardware, threads   what it spent, and where
    started_from   id of the run whose weights it started from, None for none
    config       list of (key, value, source), sorted by key
    provenance, manifest   as dicts
    Raises NotFoundError.
    """
    columns = ", ".join(map(status.known_as, _columns(con, "runs")))
    cursor = con.execute(f"SELECT {columns} FROM runs WHERE id = ?", [run_id])
    values = cursor.fetchone()
    if values is None:
        raise NotFoundError(f"there is no run {run_id[:8]} in the store; `drf runs list` shows all")
    row = {column[0]: value for column, value in zip(cursor.description, values, strict=True)}
    config = con.execute(
        "SELECT key, value, source FROM run_config WHERE run = ? ORDER BY key", [run_id]
    )
    row["status"] = status.of_run(row)
    row["condition"], row["unranked_because"] = status.explained(con, row)
    row |= status.settled(con, row)
    found = con.execute(f"SELECT {status.SPENT} FROM runs AS r WHERE r.id = ?", [run_id])
    spent = zip((column[0] for column in found.description), found.fetchone(), strict=True)
    return row | {
        **dict(spent),
        "config": [(key, json.loads(value), source) for key, value, source in config],
        "provenance": json.loads(row["provenance"]),
        "manifest": json.loads(row["manifest"]),
    }


def spent(con: sqlite3.Connection, runs: Sequence[str]) -> pd.DataFrame:
    """Return what runs (full ids, the index) spent: params, epochs_trained, steps, faces_seen (NaN
    where not known), wall_s, device, hardware, threads, started_from (id or None), trained_on. See
    `db.analysis.comparability`."""
    frame = _frame(
        con,
        f"SELECT r.id AS run, {status.known_as('params', 'r.')}, r.wall_s, r.trained_on,"
        f" {status.SPENT}"
        " FROM runs AS r"
        " WHERE r.id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(runs))],
    )
    return frame.set_index("run").reindex(list(dict.fromkeys(runs)))


def curves(con: sqlite3.Connection, run_id: str) -> pd.DataFrame:
    """Return (epoch, metric, value) of a run, by metric and epoch; NaN where it was not finite."""
    return _frame(
        con,
        "SELECT epoch, metric, value FROM epochs WHERE run = ? ORDER BY metric, epoch",
        [run_id],
    )


def validation_nmes(con: sqlite3.Connection, run_id: str) -> dict[int, float]:
    """Return {epoch: validation NME}, fractions, under the first of the normalisers that the run
    was validated with; by epoch, of which 0 is the model before its first step."""
    known = curves(con, run_id)
    for norm in scores.NORMALISER_KEYS:
        of = known[known["metric"] == f"val_nme_{norm}"]
        if len(of):
            return dict(zip(of["epoch"].astype(int), of["value"].astype(float), strict=True))
    return {}


def evaluations(con: sqlite3.Connection, run_id: str) -> pd.DataFrame:
    """Return every evaluation of a run, newest first: evaluation (id), BOARD, markup, flip_test, n,
    ms_per_face, machine (that it was measured on, None where that is not known), checkpoint,
    manifest_digest, created_at, eval_precision, crop_version, scores.COLUMNS (percent).
    """
    return _with_scores(con, _frame(con, _OF_RUN, [run_id]))


def _headlines() -> list[str]:
    return [scores.column(norm, "nme") for norm in scores.NORMALISER_KEYS]


def _first_known(headlines: np.ndarray) -> int:
    """Return the first column with a number in it, 0 where there is none. (rows, columns)."""
    return int(np.argmax(~np.isnan(headlines).all(axis=0))) if len(headlines) else 0


def _with_scores(con: sqlite3.Connection, frame: pd.DataFrame) -> pd.DataFrame:
    """Add scores.COLUMNS, percent, to rows with an `evaluation` each.

    Read as numbers on their own: pandas would look at each of them to find out that it is one.
    """
    wanted = json.dumps(frame["evaluation"].tolist())
    rows = con.execute(
        f"SELECT {score_columns()} FROM json_each(?) AS j JOIN evaluations AS e ON e.id = j.value"
        " ORDER BY j.key",
        [wanted],
    ).fetchall()
    values = np.array(rows, dtype=np.float64).reshape(len(frame), len(scores.COLUMNS))
    if np.isinf(values).any():
        raise StoreError("the store contains an infinite score; `drf db check` shows which")
    return frame.join(pd.DataFrame(values, frame.index, list(scores.COLUMNS)))


def _with_status(frame: pd.DataFrame) -> pd.DataFrame:
    """Add `status`; only what claims to be running has to be looked at, which saves most rows."""
    found = frame["state"].tolist()
    claims = [place for place, state in enumerate(found) if state == "running"]
    if claims:
        rows = frame[[*_LIFE]].iloc[claims].to_dict("records")
        for place, row in zip(claims, rows, strict=True):
            found[place] = status.of_run(row)
    return frame.assign(status=found)


def _settled(con: sqlite3.Connection, frame: pd.DataFrame) -> pd.DataFrame:
    """Put right what runs say of themselves; of most that have ended there is nothing to."""
    open_ = frame["kept_epoch"].isna() | frame["wall_s"].isna() | (frame["progress"] < 1)
    some = frame.index[open_ | (frame["epoch"] != frame["last_epoch"])]
    if len(some):
        needed = frame.loc[some, [*status.NEEDED]].astype(object)
        rows = needed.where(needed.notna(), None).to_dict("records")
        found = pd.DataFrame([status.settled(con, row) for row in rows], some)
        for name in status.SETTLED:
            frame.loc[some, name] = found[name].astype(frame[name].dtype)
    return frame


def _columns(con: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in con.execute(f"PRAGMA table_info({table})")]


def _frame(con: sqlite3.Connection, sql: str, values: Any = ()) -> pd.DataFrame:
    # Not by pandas' own function, which hides the errors of SQLite in one of its own. Each column
    # is made once, of its kind: to convert those of a frame takes as long as all the rest.
    rows = con.execute(sql, values)
    names = [name for name, *_ in rows.description]
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    made = {name: _column(name, of) for name, of in zip(names, columns, strict=True)}
    return pd.DataFrame(made)


def _column(name: str, values: Sequence[Any]) -> Any:
    kind = _DTYPES.get(name)
    if kind is None:
        return values if isinstance(values, np.ndarray) else list(values)
    if kind != "Int64":
        return np.array(values, dtype=kind)
    numbers = np.array(values, dtype=np.float64)  # exact: no integer but a seed is above 2^53
    unknown = np.isnan(numbers)
    return pd.arrays.IntegerArray(np.where(unknown, 0, numbers).astype(np.int64), unknown)
