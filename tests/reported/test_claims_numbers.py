"""The numbers that drf states: what they are over, that they are the same everywhere, and when a
board has moved on. Each is a claim of the leaderboard that did not hold once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from db import reads
from db.boards import additions
from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording import evaluations, runs
from drf.scoring import scores
from drf.scoring.ranking import places
from tests.db import examples
from tests.webapp.boards import store_with_seeds
from tests.webapp.conftest import board_table, opened, texts
from tests.webapp.conftest import faults_fail as faults_fail
from webapp.leaderboard import export, typeset
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, build
from webapp.scores import norms
from webapp.static_site.site import write_site
from webapp.store import StoreVersion
from webapp.ui.text import signed

BOARD = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three seeds of `forest`, two of `wide`, one of a floor."""
    path = tmp_path / "drf.db"
    examples.copied(store_with_seeds, path)
    monkeypatch.setenv("DRF_DB", str(path))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Database]:
    db = open_store(path)
    yield db
    db.close()


def revision(db: Database) -> int:
    return reads.revision(db.conn)


def beat(db: Database) -> None:
    """What a training on the same store writes all the time."""
    run = runs.start_run(db, examples.new_run(name="training", dataset="300w"))
    for epoch in range(5):
        runs.record_heartbeat(db, run, epoch=epoch, progress=epoch / 9, faces_per_s=1.0)
        runs.record_epoch(db, run, epoch, {"loss": 1.0})


def evaluate(db: Database, name: str, subset: str = "full") -> str:
    run = runs.start_run(db, examples.new_run(name=name, dataset="300w"))
    result = examples.evaluation(40, 1.0, dataset="300w", subset=subset)
    evaluations.record_evaluation(db, run, result, [])
    return run


PAGES = {
    None: {},
    "views/compare.py": {"cmp_eval": "300w/full/gt"},
    "views/images.py": {"img_eval": "300w/full/gt"},
    "views/ablations.py": {"abl_eval": "300w/full/gt"},
    "views/run.py": {"run": "wide-s1"},
}


@pytest.mark.parametrize("page", PAGES)
def test_heartbeats_do_not_move_a_board_on(store, page) -> None:
    then = revision(store)
    beat(store)
    evaluate(store, "elsewhere", subset="challenging")
    assert revision(store) > then
    app = opened(page, rev=str(then), **PAGES[page])
    assert not app.exception
    assert "made at revision" not in texts(app)


@pytest.mark.parametrize("page", list(PAGES)[:4])
def test_a_board_that_moved_on_says_what_is_new(store, page) -> None:
    then = revision(store)
    beat(store)
    evaluate(store, "late *one*")
    said = texts(opened(page, rev=str(then), **PAGES[page]))
    assert f"made at revision {then} of the store; since then, 1 run was added: late" in said
    assert r"\*one\*" in said


def test_a_run_that_was_evaluated_again_is_no_new_run(store) -> None:
    then = revision(store)
    (run,) = [r for r, n in store.execute("SELECT id, name FROM runs") if n == "wide-s1"]
    result = examples.evaluation(40, 1.0, dataset="300w", subset="full")
    evaluations.record_evaluation(store, run, result, [])
    assert additions.since(store.conn, then, BOARD) == [additions.Addition(run, "wide-s1", True)]
    for page in (None, "views/run.py"):
        assert "1 run was evaluated again: wide" in texts(
            opened(page, rev=str(then), **PAGES[page])
        )


def test_runs_that_a_link_does_not_show_do_not_move_it_on(store) -> None:
    ids = [run[:8] for (run,) in store.execute("SELECT id FROM runs WHERE name LIKE 'wide%'")]
    then = revision(store)
    evaluate(store, "late")
    for page, key in (("views/compare.py", "cmp_runs"), ("views/images.py", "img_runs")):
        link = {**PAGES[page], key: ",".join(ids)}
        assert "made at revision" not in texts(opened(page, rev=str(then), **link))


def test_a_link_of_a_later_store_is_told(store) -> None:
    said = texts(opened(rev=str(revision(store) + 5)))
    assert "an earlier copy of it, or another store" in said


def test_where_several_are_first_nobody_is_second() -> None:
    values = [0.0, 0.0, 0.0, 0.0, 75.09, float("nan")]
    assert places(values)[:5].tolist() == [1, 1, 1, 1, 5]
    assert np.isnan(places(values)[5])
    assert places([2.861, 2.858, 2.87]).tolist() == [1, 1, 3]  # what reads 2.86 is 2.86
    assert places([50.0, 60.0, 60.0, 70.0], "higher").tolist() == [4, 2, 2, 1]


# One estimate of an interval, and what it is over


METHODS = {  # name -> seed -> error in px
    "steady": {0: 2.00, 1: 2.02, 2: 2.01},
    "better": {0: 1.80, 1: 1.81, 2: 1.82},
    "unstable": {0: 1.60, 1: 2.10},
    "single": {0: 3.00},
}


def fill_ablation(path: Path) -> dict[str, list[str]]:
    """Methods that differ in one key; the seeds of `unstable` differ far more than its faces let
    expect. Returns their runs."""
    db = open_store(path)
    made: dict[str, list[str]] = {}
    for name, seeds in METHODS.items():
        for seed, error in seeds.items():
            config = {"training.seed": seed, "model.kind": name}
            new = examples.new_run(
                name=f"{name}-s{seed}" if len(seeds) > 1 else name, seed=seed, dataset="300w",
                config=config, sources=dict.fromkeys(config, "--set"),
            )  # fmt: skip
            run = runs.start_run(db, new)
            runs.end_run(
                db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.05
            )
            result = examples.evaluation(60, error, seed=7, dataset="300w", subset="full")
            noise = np.random.default_rng(seed).normal(0, 0.2, result.predictions.shape)
            moved = (result.predictions + noise).astype(np.float32)
            evaluations.record_evaluation(db, run, replace(result, predictions=moved), [])
            made.setdefault(name, []).append(run)
    db.close()
    return made


@pytest.fixture
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The runs of `fill_ablation`, in the store that app and command line read."""
    path = tmp_path / "drf.db"
    monkeypatch.setenv("DRF_DB", str(path))
    return examples.copied(fill_ablation, path)


def of_board(base: str, **link: str) -> dict[str, str]:
    """Name -> difference to a run's method, as the leaderboard shows it."""
    table = board_table(opened(lb_base=base[:8], **link))
    return dict(zip(table["name"], table["ocular_difference"], strict=True))


def of_ablations(base: str) -> dict[str, tuple[str, str]]:
    """Value of the key -> interval and verdict of the page Ablations."""
    app = opened("views/ablations.py", abl_eval="300w/full/gt", abl_base=base[:8])
    table = app.dataframe[0].value
    return {
        kind: (f"{signed(value)} {interval}", verdict)
        for kind, value, interval, verdict in table[
            ["model.kind", "difference", "interval", "verdict"]
        ].itertuples(index=False)
    }


def test_the_interval_of_a_method_holds_its_seeds(ablation) -> None:
    table = board_table(opened()).set_index("name")
    assert table["seeds"].to_dict() == {
        "better": 3,
        "steady": 3,
        "unstable": 2,
        "single": 1,
    }
    by_run = board_table(opened(lb_rows="Runs"))
    for name in METHODS:
        low, high = (
            float(end) for end in table["ocular_interval"][name].split(" (")[0].split(" – ")
        )
        mine = by_run["ocular_nme"][by_run["name"].str.startswith(name)]
        assert low <= mine.min()
        assert mine.max() <= high
    assert table["ocular_interval"]["single"].endswith("(1 seed)")
    assert not table["ocular_interval"]["steady"].endswith("(1 seed)")


def test_leaderboard_ablations_compare_and_command_line_give_one_verdict(ablation, drf) -> None:
    base = ablation["steady"][0]
    shown, pages = of_board(base), of_ablations(base)
    for kind, marked in (("better", True), ("unstable", False)):
        span, verdict = pages[kind]
        assert shown[kind].replace(" ✱", "") == span.replace("-", "−")
        assert shown[kind].endswith("✱") == marked
        assert verdict == ("↓ better" if marked else "≈ not significant")
    chosen = ",".join([base[:8], ablation["better"][0][:8], ablation["unstable"][0][:8]])
    compare = opened("views/compare.py", cmp_eval="300w/full/gt", cmp_runs=chosen)
    said = texts(compare).replace("\\", "")
    assert "95 % intervals of differences are over faces, one seed each" in said
    # One seed of `unstable` alone looks better; the same page says what its seeds say.
    assert compare.dataframe[0].value["unstable-s0"].iloc[0].endswith("✓")
    bare = shown["unstable"].replace(" ✱", "")
    assert f"unstable (2 seeds) − steady (3 seeds): {bare}" in said
    assert "over faces and seeds: no significant difference" in said
    rows = drf("leaderboard", "--methods", "--baseline", base[:8], "--json").json
    found = {row["name"]: row for row in rows}
    for kind in ("better", "unstable"):
        one = found[kind]["difference"]
        ends = [signed(one[key]) for key in ("estimate", "low", "high")]
        assert "{} [{}, {}]".format(*ends) == shown[kind].replace(" ✱", "")
        assert one["excludes_0"] == shown[kind].endswith("✱")
        assert one["over"] == "faces and seeds"
    assert found["single"]["interval"]["over"] == "faces, 1 seed"


def test_the_exported_site_has_the_intervals_of_the_app(ablation, tmp_path) -> None:
    con = open_reader(tmp_path / "drf.db")
    write_site(
        con, tmp_path / "site", bundle.select(con, runs=(), subset=None), faces=0, images=False
    )
    con.close()
    (board,) = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    for rows, title in (("methods", "Methods"), ("runs", "Runs")):
        shown = board_table(opened(lb_rows=title))
        for row, text in zip(board[rows], shown["ocular_interval"], strict=True):
            assert text.startswith(f"{row['ocular_low']:.2f} – {row['ocular_high']:.2f}")
        printed = [f"{row['ocular_nme']:.2f}" for row in board[rows]]
        assert printed == [f"{value:.2f}" for value in shown["ocular_nme"]]
    over = {row["name"]: row["interval_over"] for row in board["methods"]}
    assert over == {
        **dict.fromkeys(("better", "steady", "unstable"), "faces and seeds"),
        "single": "faces, 1 seed",
    }


@pytest.mark.parametrize(("title", "norm"), norms().items())
def test_app_command_line_and_site_hold_the_same_digits(
    ablation, tmp_path, drf, title, norm
) -> None:
    base = ablation["steady"][0]
    con = open_reader(tmp_path / "drf.db")
    write_site(
        con, tmp_path / "site", bundle.select(con, runs=(), subset=None), faces=0, images=False
    )
    con.close()
    (board,) = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    printed = drf("leaderboard", "--methods", "--norm", norm, "--baseline", base[:8], "--json").json
    current = StoreVersion(str(tmp_path / "drf.db"), 0)
    rows = load_rows(current, as_runs=False, **BOARD)
    rows = arrange(rows, norm=title, sort="NME", order="Best first")
    baseline = rows[[base in of for of in rows["runs"]]].iloc[0]
    names = (*(score.title for score in scores.SCORES), "Interval", "Difference")
    view = build(current, rows, DisplayOptions((norm,), names, hide=False, baseline=baseline))
    shown = {row["name"]: row for row in export.records(view)}
    of_site = {row["name"]: row for row in board["methods"]}
    assert len(shown) == len(METHODS)
    assert {row["name"] for row in printed} == shown.keys() == of_site.keys()
    for row in printed:
        app, site = shown[row["name"]], of_site[row["name"]]
        for key in scores.SCORE_KEYS:
            column = scores.column(norm, key)
            assert row["scores"][norm][key] == app[f"{column}_percent"] == site[column]
        interval = row["interval"]
        for end in ("low", "high"):
            assert interval[end] == app[f"{norm}_nme_{end}_percent"] == site[f"{norm}_{end}"]
        assert interval["over"] == app["interval_over"] == site["interval_over"]
        assert row["sd"] == site["sd"][norm]
        assert row["condition"] == app["condition"] == site["condition"]
        assert row["seeds"] == app["seeds"]
        if "difference" in row:
            of = {"estimate": "difference", "low": "difference_low", "high": "difference_high"}
            for key, field in of.items():
                assert row["difference"][key] == app[f"{norm}_{field}_percent"]
            assert row["difference"]["over"] == app["difference_over"]
    assert sum("difference" in row for row in printed) == len(METHODS) - 1


def test_what_intervals_are_over_is_said_in_every_header_and_caption(ablation, tmp_path) -> None:
    current = StoreVersion(str(tmp_path / "drf.db"), 0)
    for as_runs, over in ((True, "faces, 1 seed"), (False, "faces (and seeds if several)")):
        rows = arrange(
            load_rows(current, as_runs=as_runs, **BOARD), norm="Ocular", sort="NME",
            order="Best first",
        )  # fmt: skip
        how = DisplayOptions(("ocular",), ("NME", "Interval", "Difference"), False, rows.iloc[0])
        view = build(current, rows, how)
        assert view.title("ocular_interval") == f"95 % interval over {over}"
        assert f"| Δ NME, 95 % over {over} |" in typeset.as_markdown(view, "Caption.").decode()
        said = typeset.caption(BOARD, view)
        caption = typeset.as_latex(view, said, "l").decode().split("\\caption{")[1].split("}\n")[0]
        assert over in caption
        assert f"Δ is the difference to {rows['name'][0]}".replace("Δ", r"$\Delta$") in caption
        for row in json.loads(export.as_json(view, {}, {}))["rows"]:
            assert row["interval_over"] == over_of(row["n_seeds"])
            assert row["n_seeds"] == len(row["seeds"])
    only = rows[rows["name"].isin(["better", "steady"])]
    how = DisplayOptions(("ocular",), ("NME", "Interval"), False)
    assert (
        build(current, only, how).title("ocular_interval") == "95 % interval over faces and seeds"
    )


def over_of(seeds: int) -> str:
    return "faces and seeds" if seeds > 1 else "faces, 1 seed"


# The same number everywhere


def test_a_seed_that_was_run_twice_is_one_seed_on_every_page(ablation, tmp_path, drf) -> None:
    """A second run of seed 0 with another result: the NME is the mean over seeds, not over runs."""
    db = open_store(tmp_path / "drf.db")
    config = {"training.seed": 0, "model.kind": "steady"}
    new = examples.new_run(
        name="steady-s0", dataset="300w", config=config, sources=dict.fromkeys(config, "--set")
    )
    run = runs.start_run(db, new)
    runs.end_run(db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.05)
    result = examples.evaluation(60, 2.5, seed=7, dataset="300w", subset="full")
    evaluations.record_evaluation(db, run, result, [])
    db.close()
    listed = [row for row in drf("leaderboard", "--json").json if row["name"].startswith("steady")]
    of_seed = {
        seed: [r["ocular"]["nme"] for r in listed if r["seed"] == seed] for seed in (0, 1, 2)
    }
    assert len(of_seed[0]) == 2
    expected = np.mean([np.mean(nmes) for nmes in of_seed.values()])
    board = board_table(opened()).set_index("name")
    assert board["ocular_nme"]["steady"] == pytest.approx(expected, abs=0.005)  # as it reads
    assert board["seeds"]["steady"] == 3
    ablations = opened("views/ablations.py", abl_eval="300w/full/gt").dataframe[0].value
    assert ablations.set_index("model.kind")["nme"]["steady"] == pytest.approx(expected)
    (row,) = [r for r in drf("leaderboard", "--methods", "--json").json if r["name"] == "steady"]
    assert row["scores"]["ocular"]["nme"] == pytest.approx(expected)
    assert row["n_seeds"] == 3


def test_what_a_run_kept_is_called_so(path, drf) -> None:
    """training.checkpoint = last keeps the last epoch, which is rarely the best."""
    assert "val NME % (kept)" in drf("runs", "list").out
    app = opened("views/run.py", run="wide-s0")
    assert "Validation NME (kept)" in texts(app)
    assert "Best" not in texts(app)


def test_latency_that_measured_the_neighbours_ranks_nothing(path, drf) -> None:
    app = opened(lb_sort="Latency", lb_cols=["NME", "Latency"])
    assert not app.exception
    said = " ".join(warning.value for warning in app.warning)
    assert said.count("it was measured during each evaluation") == 2
    assert list(board_table(app)) == ["rank", "name", "ocular_nme"]
    assert board_table(app)["ocular_nme"].is_monotonic_increasing
    told = drf("leaderboard", "--sort", "ms_per_face")
    assert told.code == 0
    assert "ranks nothing" in told.err
    assert "ms/face" not in told.out
    run = opened("views/run.py", run="wide-s0").dataframe[0].value
    assert run["throughput"].tolist() == ["1.5 ms/face, on a machine that is not recorded"]


def test_ids_of_the_board_are_taken_by_the_command_line(path, drf) -> None:
    table = board_table(opened(lb_vary="false")).set_index("name")["short_id"]
    floor, forest = table["floor & <i>co</i>_1"], table["forest"].split()
    assert drf("runs", "show", floor[:7], "--json").json["name"] == "floor & <i>co</i>_1"
    found = [drf("runs", "show", run, "--json").json["name"] for run in forest]
    assert sorted(found) == ["forest-s0", "forest-s1", "forest-s2"]
    rows = drf("leaderboard", "--methods", "--json").json
    (method,) = [row["id"] for row in rows if row["name"] == "forest"]
    told = drf("runs", "show", method)
    assert told.code == 3
    assert "is a method of 3 runs, which differ in their seed" in told.err
    assert not opened("views/run.py", run=floor).warning


def test_a_baseline_that_is_not_on_the_board_is_said_to_be_missing(ablation, drf) -> None:
    base = ablation["steady"][0][:8]
    said = drf("ablate", "--factor", "model.kind", "--baseline", base, "--subset", "val")
    assert said.code == 3
    assert f"run {base} was not evaluated on the board that was asked for" in said.err
