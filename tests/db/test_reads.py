from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from sqlite_utils import Database

from db import faces, predictions, reads
from db.analysis import configs
from db.boards import entries
from db.connection import open_reader, open_store
from db.recording import evaluations, runs
from drf.errors import NotFoundError
from tests.db import examples


def test_the_board_is_ranked_by_ocular_nme(con: sqlite3.Connection) -> None:
    board = reads.leaderboard(con)
    assert board["rank"].tolist() == [1, 2, 3, 4]
    assert board["ocular_nme"].is_monotonic_increasing
    assert board["name"].tolist() == ["hourglass-wide", "hourglass", "hourglass", "mean-shape"]
    assert (board["pupil_nme"] > board["ocular_nme"]).all()
    assert set(board["status"]) == {"finished"}
    assert set(board["precision"]) == {"fp32"}
    assert board["flip_test"].dtype == bool


def test_ranks_start_again_on_every_board(filled: list[str], path: Path) -> None:
    db = open_store(path)
    trained = filled[1:3]
    for run, error_px in zip(trained, (1.0, 3.0), strict=True):
        result = examples.evaluation(error_px=error_px, box="gt_jitter")
        evaluations.record_evaluation(db, run, result, [])
    db.close()
    con = open_reader(path)
    jitter = reads.leaderboard(con, box="gt_jitter")
    filters = reads.board_filters(con)
    con.close()
    assert jitter["rank"].tolist() == [1, 2]
    assert jitter["run"].tolist() == trained
    assert filters[["box", "entries"]].to_numpy().tolist() == [["gt", 4], ["gt_jitter", 2]]


def test_a_newer_evaluation_takes_the_place_of_the_older(filled: list[str], path: Path) -> None:
    db = open_store(path)
    newest = evaluations.record_evaluation(db, filled[0], examples.evaluation(error_px=0.5), [])
    other = examples.evaluation(error_px=0.4, flip_test=False)
    unflipped = evaluations.record_evaluation(db, filled[0], other, [])
    db.close()
    con = open_reader(path)
    board = reads.leaderboard(con)
    mine = board[board["run"] == filled[0]]
    assert mine["evaluation"].tolist() == [unflipped, newest]
    assert mine["flip_test"].tolist() == [False, True]
    assert len(board) == 5
    assert len(reads.evaluations(con, filled[0])) == 3  # the older one is history, not lost
    con.close()


def test_the_board_can_be_read_as_it_was_at_a_revision(filled: list[str], path: Path) -> None:
    con = open_reader(path)
    before, then = reads.leaderboard(con), reads.revision(con)
    con.close()
    db = open_store(path)
    evaluations.record_evaluation(db, filled[0], examples.evaluation(error_px=0.1), [])
    late = runs.start_run(db, examples.new_run(name="late"))
    evaluations.record_evaluation(db, late, examples.evaluation(box="gt_jitter"), [])
    db.close()
    con = open_reader(path)
    assert len(reads.leaderboard(con)) == 5
    pd.testing.assert_frame_equal(reads.leaderboard(con, at_revision=then), before)
    assert set(reads.board_filters(con)["box"]) == {"gt", "gt_jitter"}
    assert reads.board_filters(con, at_revision=then)[["box", "entries"]].to_numpy().tolist() == [
        ["gt", 4]
    ]
    assert reads.leaderboard(con, at_revision=0).empty
    newest = con.execute("SELECT max(revision) FROM evaluations").fetchone()
    assert newest == (reads.revision(con),)
    con.close()


def test_the_board_agrees_with_the_view_that_plain_sqlite_reads(
    con: sqlite3.Connection,
) -> None:
    view = pd.read_sql_query("SELECT * FROM leaderboard", con).rename(columns={"state": "status"})
    board = reads.leaderboard(con, landmarks=None)
    pd.testing.assert_frame_equal(
        board, view[list(board.columns)].astype(board.dtypes.to_dict()), check_exact=True
    )


@pytest.mark.parametrize(
    "filters",
    [{"dataset": "300w"}, {"subset": "full"}, {"landmarks": "eyes"}, {"box": "file"}],
)
def test_filters_select(con: sqlite3.Connection, filters: dict[str, str]) -> None:
    nothing = reads.leaderboard(con, **filters)
    assert nothing.empty
    assert list(nothing.columns) == list(reads.leaderboard(con).columns)
    same = {"dataset": "synthetic", "subset": "common", "landmarks": "all", "box": "gt"}
    assert len(reads.leaderboard(con, **{key: same[key] for key in filters})) == 4
    assert len(reads.leaderboard(con, landmarks=None)) == 4


def test_a_board_of_a_landmark_subset_is_a_board_of_its_own(filled: list[str], path: Path) -> None:
    db = open_store(path)
    result = examples.evaluation(landmarks="eyes")
    evaluations.record_evaluation(db, filled[1], result, [])
    db.close()
    con = open_reader(path)
    assert reads.leaderboard(con, landmarks="eyes")["run"].tolist() == [filled[1]]
    assert len(reads.leaderboard(con)) == 4
    assert len(reads.leaderboard(con, landmarks=None)) == 5
    con.close()


def test_runs_are_found_by_beginning_of_id_or_name(
    con: sqlite3.Connection, filled: list[str]
) -> None:
    for run in filled:
        assert reads.find_run(con, run) == run
        assert reads.find_run(con, run[:12]) == run
        assert reads.find_run(con, run[:12].upper()) == run
    assert reads.find_run(con, "mean-shape") == filled[0]


def test_an_ambiguous_run_lists_the_candidates(con: sqlite3.Connection, filled: list[str]) -> None:
    with pytest.raises(NotFoundError, match=r"'hourglass' matches 2 runs") as caught:
        reads.find_run(con, "hourglass")
    assert filled[1][:8] in str(caught.value)
    assert filled[2][:8] in str(caught.value)


@pytest.mark.parametrize("text", ["", "%", "_", "zzz", "mean-shap"])
def test_a_run_that_is_not_there(con: sqlite3.Connection, text: str) -> None:
    with pytest.raises(NotFoundError, match="no run has the name"):
        reads.find_run(con, text)


def test_a_near_miss_is_named(con: sqlite3.Connection) -> None:
    with pytest.raises(NotFoundError, match=r"did you mean mean-shape\?"):
        reads.find_run(con, "meanshape")


def test_what_is_not_there_is_told(con: sqlite3.Connection) -> None:
    for read in (
        lambda: reads.run(con, "0" * 32),
        lambda: predictions.prediction(con, 1, 10_000),
        lambda: predictions.predictions(con, 10_000),
    ):
        with pytest.raises(NotFoundError):
            read()
    assert faces.crop(con, 10_000) is None
    assert predictions.image_errors(con, 10_000).empty


def test_an_empty_store_reads_as_empty_frames(db: Database, path: Path) -> None:
    con = open_reader(path)
    for frame in (
        *(reads.leaderboard(con), reads.board_filters(con), reads.runs(con)),
        *(reads.curves(con, "0"), reads.evaluations(con, "0"), predictions.image_errors(con, 1)),
    ):
        assert frame.empty
        assert len(frame.columns) > 2
    assert str(reads.leaderboard(con)["ocular_nme"].dtype) == "float64"
    con.close()


def test_an_entry_is_what_json_holds(con: sqlite3.Connection) -> None:
    board = reads.leaderboard(con)
    for position, row in enumerate(board.to_dict("records")):
        entry = entries.entry(row)
        assert entry == entries.entry(board.iloc[position])
        assert json.loads(json.dumps(entry, allow_nan=False)) == entry
        assert {"run", "name", "family", "dataset", "subset", "n", "box", "params", "macs"} <= (
            entry.keys()
        )
        for norm in ("ocular", "pupil", "box"):
            assert entry["scores"][norm] == {
                score: row[f"{norm}_{score}"]
                for score in ("nme", "median", "fr8", "auc8", "fr10", "auc10")
            }
    assert entries.entry(board.iloc[-1])["preset"] is None  # the mean shape was made from none


def test_an_evaluation_has_its_entry_where_a_newer_one_followed(db: Database) -> None:
    """As where two processes evaluate one run at a time."""
    run = runs.start_run(db, examples.new_run())
    results = [examples.evaluation(error_px=error_px) for error_px in (1.0, 2.0)]
    stored = [evaluations.record_evaluation(db, run, result, []) for result in results]
    for number, result in zip(stored, results, strict=True):
        found = entries.entry_of(db.conn, number, result)
        assert found["evaluation"] == number
        nme = 100 * result.errors("ocular").mean()
        assert found["scores"]["ocular"]["nme"] == pytest.approx(nme)


def test_records_are_what_json_holds(con: sqlite3.Connection, db: Database) -> None:
    runs.start_run(db, examples.new_run(epochs=None))
    for frame in (reads.runs(con), reads.evaluations(con, reads.find_run(con, "mean-shape"))):
        records = entries.records(frame)
        assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert entries.records(reads.runs(con))[0]["epochs"] is None


def test_a_comparison_shows_what_differs(db: Database, path: Path) -> None:
    one = examples.add_finished_run(db, error_px=1.0)
    config = examples.new_run().config | {"training.lr": 3e-4, "model.stacks": 2}
    config.pop("augment.flip")
    other = examples.add_finished_run(
        db, error_px=2.0, seed=5, config=config, sources=dict.fromkeys(config, "--set")
    )
    con = open_reader(path)
    differing = configs.differences(con, one, other)
    everything = configs.differences(con, one, other, same=True)
    results = configs.results(con, one, other)
    con.close()
    assert {key: (a, b) for key, a, b, _ in differing.itertuples(index=False)} == {
        "seed": (0, 5),
        "training.lr": (1e-3, 3e-4),
        "model.stacks": (None, 2),
        "augment.flip": (True, None),
    }
    described = ("preset", "dataset", "trained_on", "track", "landmarks", "markup", "seed")
    assert set(everything["key"]) == {
        *(
            *configs.COMPARED,
            *described,
            "params",
            "macs",
            *examples.new_run().config,
            "model.stacks",
        ),
    }
    assert everything["same"].sum() == len(everything) - 4
    assert len(results) == 1
    assert results["ocular_nme_a"].iloc[0] < results["ocular_nme_b"].iloc[0]
