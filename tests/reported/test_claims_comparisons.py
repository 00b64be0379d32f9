"""What a comparison is between: the same budget, the same boxes, the same way of computing.

Each docstring names the thread where somebody met the situation, or the review that found it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlite_utils import Database
from streamlit.testing.v1 import AppTest

from db import method_ids, reads
from db.analysis import comparability
from db.boards import board
from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording import box_labels, evaluations, runs
from db.tables.migrations import migrations
from drf.text import latex_escaped
from experiments.paths import Paths, origin, write_origin
from experiments.request import Request
from experiments.train import train_new_run
from tests.cli.conftest import Drf
from tests.db import examples
from tests.webapp.conftest import board_table, opened, texts
from webapp.leaderboard import export, table, typeset
from webapp.leaderboard.rows import arrange
from webapp.links import url_keys
from webapp.static_site.site import write_site
from webapp.store import StoreVersion
from webapp.ui.text import plain

FILES = {"mtcnn": "a1" * 32, "dlib": "b2" * 32}
"""Name of a box file -> its digest."""


def add(
    store: object, name: str, epochs: int, *, seed: int = 0, depth: int = 3, error_px: float = 2.0,
    minutes: float = 10.0, evaluation: dict[str, object] | None = None, **changes: object,
) -> str:  # fmt: skip
    """A finished run of so many epochs, 10 steps of 16 faces each, evaluated on six faces."""
    config = {"model.depth": depth, "training.seed": seed, "training.max_minutes": 10.0}
    new = examples.new_run(
        name=name, seed=seed, config=config, sources=dict.fromkeys(config, "--set"),
        provenance={"precision": "fp32", "hardware": "a CPU, 2 threads", "threads": 2}, **changes,
    )  # fmt: skip
    run = runs.start_run(store, new)
    for epoch in range(epochs + 1):
        spent = {"steps": 10.0 * epoch, "faces_seen": 160.0 * epoch}
        runs.record_epoch(store, run, epoch, {"val_nme_ocular": 0.1} | spent)
    runs.end_run(
        store, run, "finished", wall_s=60 * minutes, faces_per_s=9.0, kept_epoch=epochs,
        kept_val_nme=0.05,
    )  # fmt: skip
    result = examples.evaluation(6, error_px, seed=seed, precision="fp32", **(evaluation or {}))
    evaluations.record_evaluation(store, run, result, [], checkpoint="best.safetensors")
    return run


def of_file(name: str) -> dict[str, object]:
    """What an evaluation on the boxes of a file has of its own."""
    manifest = {"digest": "digest-6", "box_file": FILES[name], "box_name": name}
    return {"box": "file", "manifest": manifest}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """An ablation of the depth on a busy machine: the same minutes, 7 to 35 epochs; and a floor."""
    path = tmp_path_factory.mktemp("busy") / "drf.db"
    store = open_store(path)
    ids = [
        add(store, "deep", 7, depth=5, error_px=3.0),
        add(store, "shallow", 35, depth=3, error_px=2.0),
        add(store, "floor", 0, family="mean-shape", params=0, error_px=9.0),
    ]
    store.close()
    return path, ids


SENTENCE = (
    "The epochs differ: 7 to 35, the optimiser steps differ: 70 to 350, the faces seen differ: 1120"
    " to 5600; differences may come from the budget."
)


def board_of(path: Path) -> pd.DataFrame:
    with contextlib.closing(open_reader(path)) as reader:
        return reads.leaderboard(reader)


def app(page: str | None, path: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("DRF_DB", str(path))
    shown = opened(page, **query)
    assert not shown.exception
    return shown


def test_what_was_spent_stands_beside_every_score(busy: tuple[Path, list[str]]) -> None:
    """The browser review: no column of epochs or faces seen, no warning."""
    rows = board_of(busy[0]).set_index("name")
    spent = rows[["epochs_trained", "steps", "faces_seen", "wall_s"]]
    assert spent.loc["deep"].tolist() == [7, 70, 1120, 600]
    assert spent.loc["shallow"].tolist() == [35, 350, 5600, 600]
    assert spent.loc["floor", "epochs_trained"] == 0
    assert set(rows["hardware"]) == {"a CPU, 2 threads"}
    assert comparability.budget(board_of(busy[0])) == SENTENCE


def test_runs_of_the_same_budget_are_said_to_be_equal_and_only_they(tmp_path: Path) -> None:
    """A tenth more is no difference; what is not known is not claimed; a floor has no budget."""
    store = open_store(tmp_path / "drf.db")
    add(store, "one", 30)
    add(store, "ten percent more", 33, depth=4)
    add(store, "floor", 0, family="mean-shape", params=0)
    store.close()
    rows = board_of(tmp_path / "drf.db")
    assert comparability.budget(rows) is None
    assert comparability.equal_budget(rows)
    assert not comparability.equal_budget(rows.assign(steps=np.nan))
    assert comparability.budget(rows.assign(epochs_trained=[30.0, 34.0, 0.0])) is not None
    assert "minutes of training differ" in str(
        comparability.budget(rows.assign(wall_s=[600.0, 900.0, 0.0]))
    )


def test_seeds_of_one_method_are_compared_too(tmp_path: Path) -> None:
    """The browser review: seeds 4.52 and 6.17 of one method, of 7 and 35 epochs."""
    store = open_store(tmp_path / "drf.db")
    add(store, "forest", 7, seed=0)
    add(store, "forest", 35, seed=1)
    store.close()
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as reader:
        rows = board.by_method(reads.leaderboard(reader), method_ids.method_of_runs(reader))
    assert len(rows) == 1
    assert comparability.spans(rows, "epochs_trained") == ["7 – 35"]
    assert comparability.budget(rows) == SENTENCE


def test_a_training_records_what_it_spends(tmp_path: Path, few_faces: object) -> None:
    """Steps and faces are counted where they are made, so that a budget of minutes counts too."""
    options = {
        "data.dataset": "synthetic", "data.synthetic_train_size": 24, "data.input_size": 64,
        "model.width": 8, "training.device": "cpu", "training.epochs": 2, "training.batch_size": 10,
    }  # fmt: skip
    paths = Paths(tmp_path / "drf.db", None, None, None)
    result = train_new_run(Request("hourglass", options=options), paths)
    with contextlib.closing(open_reader(paths.db)) as reader:
        spent = reads.spent(reader, [result.run]).iloc[0]
    assert (spent["epochs_trained"], spent["steps"], spent["faces_seen"]) == (2, 4, 40)
    assert spent["wall_s"] > 0
    assert spent["hardware"]


def test_older_runs_get_what_their_configuration_tells(tmp_path: Path) -> None:
    """A store of before: steps follow from epochs, faces and batch, but not under a clock."""
    path = tmp_path / "drf.db"
    db = open_store(path)
    made = []
    for minutes in (0.0, 10.0):
        config = {"training.batch_size": 16, "training.max_minutes": minutes}
        new = examples.new_run(
            config=config, sources=dict.fromkeys(config, "default"), manifest={"faces": 100}
        )
        made.append(runs.start_run(db, new))
        runs.record_epoch(db, made[-1], 3, {"loss": 1.0})
    db.close()
    as_before_m011(path)
    open_store(path).close()
    with contextlib.closing(open_reader(path)) as reader:
        spent = reads.spent(reader, made)
    assert spent["epochs_trained"].tolist() == [3, 3]
    assert spent.loc[made[0], ["steps", "faces_seen"]].tolist() == [18, 288]
    assert spent.loc[made[1], ["steps", "faces_seen"]].isna().all()
    assert comparability.spans(spent, "steps") == ["18", "–"]


def as_before_m011(path: Path) -> None:
    """Put a closed store into the schema before the step, with what its rows had then."""
    older = path.with_suffix(".older")
    db = Database(sqlite3.connect(older, isolation_level=None))
    migrations.apply(db, stop_before=STEP)
    db.execute("ATTACH ? AS new", [str(path)])
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*sqlite_*'"
    )
    for (name,) in names.fetchall():
        there = [
            {
                column
                for _, column, *_ in db.execute(f"PRAGMA {schema}.table_info({name})").fetchall()
            }
            for schema in ("main", "new")
        ]
        columns = ", ".join(sorted(set.intersection(*there)))
        db.execute(f"DELETE FROM main.{name}")
        db.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM new.{name}")
    db.execute("DELETE FROM main.epochs WHERE metric IN ('steps', 'faces_seen')")
    db.execute("DELETE FROM main.old_method_ids")
    db.execute("DETACH new")
    db.close()
    older.replace(path)


STEP = "m011_inputs_of_evaluations"


def test_board_and_exports_say_that_the_budget_differs(
    busy: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser review, of the difference to a baseline on the leaderboard and in a paper."""
    path, ids = busy
    shown = app(None, path, monkeypatch, lb_rows="Runs", lb_base=ids[0][:8])
    assert plain(SENTENCE) in texts(shown)
    assert board_table(shown)["epochs_trained"].tolist() == [35, 7, 0]
    with contextlib.closing(open_reader(path)) as reader:
        rows = board.by_run(reads.leaderboard(reader), method_ids.method_of_runs(reader))
        current = StoreVersion(str(path), reads.revision(reader))
    ranked = arrange(rows, norm="Ocular", sort="NME", order="Best first")
    how = table.DisplayOptions(("ocular",), ("NME", "Epochs"), hide=False, baseline=rows.iloc[0])
    view = table.build(current, ranked, how)
    assert view.remarks == (SENTENCE,)
    assert plain(SENTENCE) in typeset.as_markdown(view, "caption").decode()
    assert latex_escaped(SENTENCE) in typeset.as_latex(view, "caption", "l").decode()
    document = json.loads(export.as_json(view, {}, {}))
    assert document["remarks"] == [SENTENCE]
    assert {row["name"]: row["epochs_trained_high"] for row in document["rows"]} == {
        "deep": 7, "shallow": 35, "floor": 0,
    }  # fmt: skip
    assert "steps_low" in export.as_csv(view).decode().splitlines()[0]


def test_compare_says_that_the_budget_differs(
    busy: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser review, of Compare."""
    path, ids = busy
    chosen = ",".join(run[:8] for run in ids)
    shown = app("views/compare.py", path, monkeypatch, cmp_runs=chosen)
    assert plain(SENTENCE) in texts(shown)
    costs = next(f.value for f in shown.dataframe if "Epochs" in f.value.index)
    assert costs.loc["Epochs", "deep"] == "7"
    assert costs.loc["Hardware", "deep"] == "a CPU, 2 threads"


def test_ablations_claim_equality_only_where_it_is_true(
    busy: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser review: "everything but the factors and the seed is the same" of 7 to 35 epochs;
    the quieter machine "won" by 1.4 points."""
    shown = texts(app("views/ablations.py", busy[0], monkeypatch))
    assert plain(SENTENCE) in shown
    assert "So are epochs" not in shown
    store = open_store(tmp_path / "drf.db")
    add(store, "deep", 30, depth=5)
    add(store, "shallow", 31, depth=3)
    store.close()
    shown = texts(app("views/ablations.py", tmp_path / "drf.db", monkeypatch))
    assert "So are epochs, steps and faces seen." in shown
    assert "differ:" not in shown


def test_the_command_line_says_that_the_budget_differs(
    busy: tuple[Path, list[str]], drf: Drf
) -> None:
    """The browser review, of `drf leaderboard` and `drf runs diff`."""
    path, ids = busy
    printed = " ".join(drf("leaderboard", "--db", path).out.split())
    assert SENTENCE in printed
    entries = drf("leaderboard", "--db", path, "--json").json
    assert {e["name"]: e["epochs_trained"] for e in entries}["shallow"] == 35
    answer = drf("runs", "diff", ids[0], ids[1], "--db", path)
    assert SENTENCE in " ".join(answer.out.split())
    assert drf("runs", "diff", ids[0], ids[1], "--db", path, "--json").json["remark"] == SENTENCE


def test_the_exported_pages_say_that_the_budget_differs(
    busy: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The browser review, of the static site."""
    with contextlib.closing(open_reader(busy[0])) as reader:
        write_site(reader, tmp_path / "site", bundle.select(reader), faces=0, images=False)
    (shown,) = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    assert shown["remarks"] == [SENTENCE]
    assert {row["name"]: row["epochs"] for row in shown["methods"]}["deep"] == "7"


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Three runs on the boxes of two detectors, one on those of a file that nobody knows."""
    path = tmp_path_factory.mktemp("boxes") / "drf.db"
    store = open_store(path)
    ids = [
        add(store, "one", 9, evaluation=of_file("mtcnn")),
        add(store, "two", 9, depth=4, error_px=3.0, evaluation=of_file("mtcnn")),
        add(store, "three", 9, depth=5, error_px=7.0, evaluation=of_file("dlib")),
    ]
    store.close()
    return path, ids


def test_runs_on_the_boxes_of_two_files_are_not_ranked_together(
    two_files: tuple[Path, list[str]],
) -> None:
    """D-X-Y/landmark-detection#14, wywu/LAB#26: results on other detectors' boxes do not compare;
    two box files stood ranked on one board "file", with 16.76 and 55.49."""
    rows = board_of(two_files[0])
    boxes = rows.groupby("box")["rank"].apply(list).to_dict()
    assert boxes == {"file-dlib-b2b2b2b2": [1], "file-mtcnn-a1a1a1a1": [1, 2]}
    with contextlib.closing(open_reader(two_files[0])) as reader:
        assert reads.board_filters(reader)["entries"].tolist() == [1, 2]


def test_one_file_is_one_board_whatever_it_is_called(tmp_path: Path) -> None:
    """The digest tells files apart; the name is for people, and the first one stays."""
    store = open_store(tmp_path / "drf.db")
    mine = of_file("mtcnn")
    add(store, "one", 9, evaluation=mine)
    renamed = mine["manifest"] | {"box_name": "../Other <b>"}
    add(store, "two", 9, depth=4, evaluation=mine | {"manifest": renamed})
    other = renamed | {"box_file": "c3" * 32}
    add(store, "three", 9, depth=5, evaluation=mine | {"manifest": other})
    store.close()
    boxes = set(board_of(tmp_path / "drf.db")["box"])
    assert boxes == {"file-mtcnn-a1a1a1a1", "file-Other_b-c3c3c3c3"}
    assert box_labels.title("file-mtcnn-a1a1a1a1") == "file mtcnn (a1a1a1a1)"
    assert {box_labels.protocol(box) for box in boxes} == {"file"}


def test_evaluations_of_earlier_versions_are_told_apart_by_the_digest_that_they_have(
    tmp_path: Path,
) -> None:
    """The same, of a store of before: without a digest it stays the board of an unknown file."""
    path = tmp_path / "drf.db"
    db = open_store(path)
    for name, manifest in (
        ("known", {"digest": "d", "box_file": "d4" * 32}),
        ("unknown", {"digest": "d"}),
        ("gt", {"digest": "d"}),
    ):
        box = "gt" if name == "gt" else "file"
        run = add(db, name, 3, depth=len(name), manifest={"digest": "abc"} | manifest)
        db.execute(
            "UPDATE evaluations SET box = ?, manifest = ? WHERE run = ?",
            [box, json.dumps(manifest), run],
        )
    before = method_ids_without_boxes(db.conn)
    db.close()
    as_before_m011(path)
    open_store(path).close()
    with contextlib.closing(open_reader(path)) as reader:
        rows = reads.leaderboard(reader).set_index("name")
        assert rows["box"].to_dict() == {
            "known": "file-boxes-d4d4d4d4", "unknown": "file", "gt": "gt",
        }  # fmt: skip
        methods = method_ids.method_of_runs(reader)
        known = str(rows.loc["known", "run"])
        assert methods[known] != before[known]
        assert method_ids.today(reader, before[known]) == methods[known]
    assert box_labels.title("file") == "file (unknown file)"


def method_ids_without_boxes(con: sqlite3.Connection) -> dict[str, str]:
    """The ids of methods as they were before box files were a part of them."""
    manifests = dict(con.execute("SELECT id, manifest FROM runs").fetchall())
    con.execute("UPDATE runs SET manifest = json_remove(manifest, '$.box_file')")
    found = method_ids.method_of_runs(con).to_dict()
    for run, manifest in manifests.items():
        con.execute("UPDATE runs SET manifest = ? WHERE id = ?", [manifest, run])
    return found


def test_runs_trained_on_the_boxes_of_two_files_are_two_methods(tmp_path: Path) -> None:
    """The same kind: their mean would be of nothing."""
    store = open_store(tmp_path / "drf.db")
    for seed, name in enumerate(FILES):
        trained = {"digest": "abc", "box_file": FILES[name]}
        add(store, "forest", 9, seed=seed, manifest=trained)
    store.close()
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as reader:
        assert len(set(method_ids.method_of_runs(reader))) == 2


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"lb_box": ["file"]}, {"lb_box": ["file-mtcnn-a1a1a1a1"]}),
        ({"lb_box": ["file-other-b2b2b2b2"]}, {"lb_box": ["file-dlib-b2b2b2b2"]}),
        ({"lb_box": ["gt"]}, {"lb_box": ["gt"]}),
        ({"lb_box": ["nofile"]}, {"lb_box": ["nofile"]}),
        (
            {"cmp_eval": ["synthetic/common/file/eyes"]},
            {"cmp_eval": ["synthetic/common/file-mtcnn-a1a1a1a1/eyes"]},
        ),
        ({"run_eval": ["synthetic/helen/file"]}, {"run_eval": ["synthetic/helen/file"]}),
        ({"lb_text": ["file"]}, {"lb_text": ["file"]}),
    ],
)
def test_links_of_earlier_versions_find_the_boxes(
    asked: dict[str, list[str]], found: dict[str, list[str]]
) -> None:
    """streamlit/streamlit#13922: a link with a value that is not there any more."""
    boards = [
        ("synthetic", "common", "file-mtcnn-a1a1a1a1"),
        ("synthetic", "common", "file-dlib-b2b2b2b2"),
    ]
    assert url_keys.with_boxes(asked, boards) == found
    unknown = [*boards, ("synthetic", "common", "file")]
    assert url_keys.with_boxes({"lb_box": ["file"]}, unknown) == {"lb_box": ["file"]}


def test_a_link_to_the_board_file_opens(
    two_files: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, in the app: the fullest board of a file is shown."""
    shown = app(None, two_files[0], monkeypatch, lb_box="file", lb_rows="Runs")
    assert shown.selectbox(key="lb_box").value == "file-mtcnn-a1a1a1a1"
    assert shown.selectbox(key="lb_box").options == ["file-mtcnn-a1a1a1a1", "file-dlib-b2b2b2b2"]


def test_the_command_line_shows_files_by_protocol_and_by_name(
    two_files: tuple[Path, list[str]], drf: Drf
) -> None:
    """`--box file` shows the board of every file, a name that of one."""
    path = two_files[0]
    whole = drf("leaderboard", "--db", path, "--box", "file").out
    assert "box file mtcnn (a1a1a1a1)" in whole
    assert "box file dlib (b2b2b2b2)" in whole
    one = drf("leaderboard", "--db", path, "--box", "file-dlib-b2b2b2b2", "--json").json
    assert [entry["name"] for entry in one] == ["three"]
    wrong = drf("leaderboard", "--db", path, "--box", "flie")
    assert wrong.code == 2
    assert "file" in wrong.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": "bf16"}, "computed in bf16 and fp32"),
        ({"flip_test": False}, "flip test"),
        ({"manifest": {"digest": "another copy"}}, "not all evaluated on the same faces"),
        ({"manifest": {"digest": "digest-6", "crop_version": 9}}, "different versions of drf"),
    ],
)
def test_what_else_decides_the_input_is_warned_of(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """MarekKowalski/DeepAlignmentNetwork#3: two versions of the data compared; the same for
    precision, flip test and the code that crops."""
    store = open_store(tmp_path / "drf.db")
    usual = {"manifest": {"digest": "digest-6", "crop_version": 2}}
    add(store, "one", 9, evaluation=usual)
    add(store, "same", 9, depth=4, evaluation=usual)
    path = tmp_path / "drf.db"
    assert comparability.remarks(board_of(path)) == []
    result = examples.evaluation(6, 2.0, **{"precision": "fp32", **usual, **changes})
    other = add(store, "other", 9, depth=5, evaluation=usual)
    evaluations.record_evaluation(store, other, replace(result), [])
    store.close()
    (remark,) = comparability.inputs(board_of(path))
    assert said in remark


def test_an_evaluation_without_a_precision_is_shown_beside_others(tmp_path: Path, drf: Drf) -> None:
    """Predictions of other programs, such as dlib's: what is not known is no further precision."""
    store = open_store(tmp_path / "drf.db")
    add(store, "one", 9)
    other = add(store, "other", 9, depth=5)
    result = examples.evaluation(6, 2.0, precision=None)
    evaluations.record_evaluation(store, other, result, [])
    store.close()
    shown = drf("leaderboard", "--methods", "--db", tmp_path / "drf.db")
    assert shown.code == 0, shown.err
    assert "computed in" not in shown.out


def test_a_run_trained_on_a_file_remembers_it_where_a_file_is_needed(tmp_path: Path) -> None:
    """The same kind: `drf eval RUN --box gt` of a run that was trained on the boxes of a file."""
    used = Paths(tmp_path / "drf.db", None, tmp_path / "s3fd.csv", None, "S3FD")
    write_origin(tmp_path, used)
    later = origin(tmp_path, Paths(tmp_path / "drf.db", None, None, None))
    assert later.boxes_for("file") == tmp_path / "s3fd.csv"
    assert later.boxes_for("gt") is None
    assert later.name_of_boxes() == "S3FD"
    other = origin(tmp_path, replace(used, box_file=tmp_path / "mtcnn.csv", box_name=None))
    assert other.boxes_for("file") == tmp_path / "mtcnn.csv"
    assert other.name_of_boxes() == "mtcnn"
