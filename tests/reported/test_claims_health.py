"""Only what is finished and sound is ranked, and figures are those of what was recorded.

What was found in a review of the app (a crashed run stood first, a diverged one was "finished"),
and what users of such tools reported: each docstring names the thread where somebody met the
situation.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from db import method_ids, next_step, reads, status
from db.analysis import ablation as ablation_results
from db.analysis import factors as ablation_settings
from db.boards import board
from db.boards.entries import entry
from db.connection import open_reader, open_store
from db.file import DEFAULT_PATH
from db.recording import evaluations, latencies, runs
from db.transactions import writing
from drf import checkpoint, registry
from drf.data.packs import Pack
from drf.errors import Diverged
from drf.files import BEST, LAST
from drf.inference.prediction import Predictor, evaluate
from drf.landmarks.markup import IBUG68
from drf.training import loop
from drf.training.loop import Outcome, Trainer
from experiments.train import Result
from tests.cli.conftest import Drf, drf  # noqa: F401
from tests.db import examples
from tests.training.conftest import Listener, packs, tiny  # noqa: F401
from webapp import selection
from webapp.compare import tables
from webapp.leaderboard import columns, export, typeset
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, View, best_of_view, build
from webapp.static_site import board as static_board
from webapp.store import StoreVersion

FACES = 24
WHERE = {"dataset": "synthetic", "subset": "common", "landmarks": "all", "box": "gt"}
PLAN = (  # name, family, error in px, how it ended
    ("floor", "mean-shape", 9.0, "finished"),
    ("good", "hourglass", 2.0, "finished"),
    ("fair", "heatmap-forest", 3.0, "finished"),
    ("killed", "hourglass", 0.5, "crashed"),
    ("trains", "hourglass", 0.6, "running"),
    ("stopped", "hourglass", 0.7, "interrupted"),
    ("broken", "hourglass", 0.8, "failed"),
    ("flat", "hourglass", 0.9, "collapsed"),
    ("nan", "hourglass", 1.0, "diverged"),
    ("lost", "hourglass", 60.0, "worse than floor"),
)
UNRANKED = {name: condition for name, _, _, condition in PLAN if condition != "finished"}


def add(db, name: str, family: str, error_px: float, ends: str, seed: int = 0) -> str:  # type: ignore[no-untyped-def]
    """Put in a run with curves of 13 epochs, whose last heartbeat was in epoch 11."""
    config = {"training.seed": seed, "model.name": name}
    sources = dict.fromkeys(config, "--set")
    new = examples.new_run(
        name=name, family=family, config=config, sources=sources, seed=seed, epochs=20,
        provenance={"command": ["drf", "train", name]},
    )  # fmt: skip
    run = runs.start_run(db, new)
    for epoch in range(14):
        nme = 0.05 + 0.001 * abs(epoch - 9)
        runs.record_epoch(db, run, epoch, {"loss": 1.0, "val_nme_ocular": nme})
    runs.record_heartbeat(db, run, epoch=11, progress=0.55, faces_per_s=100.0)
    made = examples.evaluation(FACES, error_px, seed=seed)
    evaluations.record_evaluation(db, run, made, [], checkpoint="best.safetensors")
    if ends == "crashed":
        with writing(db):
            started = {"pid": 2**22 + 1, "started_at": "2026-11-28T10:00:00.000Z"}
            heard = {"heartbeat_at": "2026-11-28T10:05:00.000Z", "process_started": 0.0}
            db.table("runs").update(run, started | heard)
    elif ends != "running":
        state = "finished" if ends == status.WORSE_THAN_FLOOR else ends
        reason = None if state == "finished" else f"it was {state}"
        runs.end_run(
            db, run, state, reason=reason, wall_s=60.0, faces_per_s=100.0,
            kept_epoch=9, kept_val_nme=0.05,
        )  # fmt: skip
    return run


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("health") / "drf.db"
    db = open_store(path)
    for name, family, error_px, ends in PLAN:
        add(db, name, family, error_px, ends)
    db.close()
    return path


@pytest.fixture
def con(path: Path) -> Iterator[sqlite3.Connection]:
    reader = open_reader(path)
    yield reader
    reader.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running run was heard of lately enough, however slow the machine is."""
    monkeypatch.setattr("db.status.STALE_AFTER_S", 1e9)


@pytest.fixture
def cli(drf: Drf, path: Path, monkeypatch: pytest.MonkeyPatch) -> Drf:  # noqa: F811
    """The command line on the store."""
    monkeypatch.setenv("DRF_DB", str(path))
    return drf


def view_of(path: Path, **how: object) -> View:
    current = StoreVersion(str(path), 1)
    loaded = load_rows(current, as_runs=True, **WHERE)
    rows = arrange(loaded, norm="Ocular", sort="NME", order="Best first")
    return build(current, rows, DisplayOptions(("ocular",), columns.default(), False, **how))


# ---- ranks


def test_only_what_is_finished_and_sound_has_a_rank(con: sqlite3.Connection) -> None:
    """Found in the review: a run killed in epoch 12 was first."""
    rows = reads.leaderboard(con)
    ranked = rows[rows["rank"].notna()]
    assert ranked["name"].tolist() == ["good", "fair", "floor"]
    assert ranked["rank"].tolist() == [1, 2, 3]
    assert rows["name"].tolist()[:3] == ranked["name"].tolist()  # what is not ranked comes last
    assert dict(rows[rows["rank"].isna()][["name", "condition"]].to_numpy()) == UNRANKED
    for row in map(entry, rows.to_dict("records")):
        assert row["ranked"] == (row["name"] not in UNRANKED)
        assert row["condition"] == UNRANKED.get(row["name"], "finished")


def test_plain_sqlite_sees_the_same_ranks(con: sqlite3.Connection) -> None:
    """The view `leaderboard` is what others build on."""
    rows = con.execute("SELECT name, rank, condition FROM leaderboard").fetchall()
    assert rows[:3] == [("good", 1, "finished"), ("fair", 2, "finished"), ("floor", 3, "finished")]
    assert {name for name, rank, _ in rows if rank is None} == set(UNRANKED)
    said = {name: condition for name, _, condition in rows}
    for name in ("stopped", "broken", "flat", "nan", "lost"):  # of processes SQL knows nothing
        assert said[name] == UNRANKED[name]
    assert said["killed"] == "stale"


def test_the_command_line_gives_no_place_and_a_word(cli: Drf) -> None:
    out = cli("leaderboard").out
    for name, condition in UNRANKED.items():
        assert f"–      {name} (seed 0, {condition})" in out
    for place, name in (("1", "good"), ("2", "fair"), ("floor", "floor")):
        assert f"{place:<5}  {name} (seed 0)" in out
    by_cost = cli("leaderboard", "--sort", "ms_per_face", "--json").json
    assert not any(row["ranked"] for row in by_cost[3:])


def test_every_list_of_runs_says_the_condition(cli: Drf) -> None:
    """A diverged run was a green "finished"."""
    listed = {row["name"]: row for row in cli("runs", "list", "--json").json}
    out = cli("runs", "list").out
    for name, condition in UNRANKED.items():
        assert listed[name]["condition"] == condition
        (line,) = [line for line in out.splitlines() if f"  {name} " in line]
        assert f" {condition} " in line
    lost = cli("runs", "show", "lost", "--json").json
    assert lost["condition"] == "worse than floor"
    assert "is no better than that of one shape for every face" in lost["unranked_because"]


def test_the_app_crowns_only_what_is_ranked(path: Path) -> None:
    """The crashed run was bold and on the cards; its sign was lost in LaTeX."""
    view = view_of(path)
    names = view.table["name"].tolist()
    assert names[:3] == ["good", "fair", "floor"]
    assert {name.split(" ", 1)[1] for name in names[3:]} == {
        f"{name} ({condition})" for name, condition in UNRANKED.items()
    }
    for key in view.table:
        if columns.better(key):
            best, second = best_of_view(view, key)
            crowned = [*best, *(() if second is None else second)]
            assert set(view.table.loc[crowned, "name"]) <= {"good", "fair", "floor"}


def test_every_export_marks_what_is_not_ranked_with_a_word(path: Path) -> None:
    """A paper's table would have crowned a crashed run without a mark."""
    view = view_of(path)
    latex = typeset.as_latex(view, "c", "l").decode().splitlines()
    markdown = typeset.as_markdown(view, "caption").decode().splitlines()
    csv = export.as_csv(view).decode().splitlines()
    rows = {row["name"]: row for row in json.loads(export.as_json(view, {}, {}))["rows"]}
    for name, condition in UNRANKED.items():
        for lines in (latex, markdown):
            (line,) = [line for line in lines if f"{name} " in line and condition in line]
            assert "textbf" not in line
            assert "underline" not in line
            assert "**" not in line
            assert "<u>" not in line
        assert any(f",{name},{condition}," in line for line in csv)
        assert (rows[name]["rank"], rows[name]["condition"]) == (None, condition)


def test_the_exported_site_ranks_the_same(con: sqlite3.Connection) -> None:
    entries = latencies.on_boards(con, reads.leaderboard(con)).assign(page="runs/x.html")
    (made,) = static_board.boards(con, entries, method_ids.method_of_runs(con))
    for rows in (made["runs"], made["methods"]):
        assert [row["name"] for row in rows][:3] == ["good", "fair", "floor"]
        said = {row["name"]: row["condition"] for row in rows if not row["ranked"]}
        assert said == UNRANKED


def test_a_seed_that_crashed_is_in_no_mean(tmp_path: Path) -> None:
    """A method was averaged over whatever its runs had reached."""
    db = open_store(tmp_path / "seeds.db")
    for seed, ends in enumerate(("finished", "finished", "crashed")):
        add(db, "method", "hourglass", 2.0 if ends == "finished" else 0.1, ends, seed)
    db.close()
    reader = open_reader(tmp_path / "seeds.db")
    entries = reads.leaderboard(reader)
    first, second = board.by_method(entries, method_ids.method_of_runs(reader)).to_dict("records")
    reader.close()
    assert (first["seeds"], first["condition"], first["ranked"]) == ((0, 1), "finished", True)
    assert (second["seeds"], second["condition"], second["ranked"]) == ((2,), "crashed", False)
    mean = entries.loc[entries["condition"] == "finished", "ocular_nme"].mean()
    assert first["ocular_nme"] == pytest.approx(mean)


def test_what_is_not_sound_is_compared_only_on_request_and_never_better(
    con: sqlite3.Connection, path: Path
) -> None:
    rows = reads.leaderboard(con).set_index("run")
    chosen = selection.best_of_methods(rows, method_ids.method_of_runs(con), 2)
    assert rows.loc[chosen, "name"].tolist() == ["good", "fair"]
    errors = np.random.default_rng(0).uniform(0.02, 0.03, (2, 50))
    errors[1] /= 4
    judged, doubtful = (tables.compare(errors, sound) for sound in (None, (True, False)))
    assert tables.score_table(judged, ["a", "b"])["b"].iloc[0].endswith(tables.BETTER)
    assert not tables.score_table(doubtful, ["a", "b"])["b"].iloc[0].endswith(tables.BETTER)
    view = view_of(path)
    baseline = view.rows[view.rows["name"] == "fair"].iloc[0]
    compared = view_of(path, baseline=baseline)
    marked = compared.table["ocular_difference"].fillna("").str.endswith(columns.MARK)
    assert compared.rows.loc[marked, "name"].tolist() == ["good", "floor"]


def test_an_ablation_has_no_verdict_on_a_setting_that_diverged(con: sqlite3.Connection) -> None:
    rows = reads.leaderboard(con)
    rows = rows[rows["name"].isin(["good", "fair", "nan", "lost", "killed"])]
    from db.analysis.configs import settings

    known = settings(con, rows["run"].tolist())[["training.seed", "model.name"]]
    made = ablation_settings.compare(rows, known)
    assert set(made.left_out["name"]) == {"killed"}
    (base,) = made.runs.loc[made.runs["name"] == "fair", "setting"]
    errors = np.random.default_rng(0).uniform(0.02, 0.03, (4, 50))
    frame = ablation_results.results(made, base, ["model.name"], errors)
    verdicts = dict(zip(frame["name"], frame["verdict"], strict=True))
    assert verdicts["nan"] == "↯ diverged"
    assert verdicts["lost"] == "↯ worse than floor"
    assert not verdicts["good"].startswith("↯")
    assert frame.set_index("name").loc[["nan", "lost"], "low"].isna().all()


def test_without_a_mean_shape_the_floor_follows_from_the_faces(tmp_path: Path) -> None:
    """A board on which nobody evaluated the mean shape had no floor."""
    db = open_store(tmp_path / "bare.db")
    add(db, "good", "hourglass", 2.0, "finished")
    add(db, "lost", "hourglass", 60.0, "finished")
    db.close()
    reader = open_reader(tmp_path / "bare.db")
    said = dict(reads.leaderboard(reader)[["name", "condition"]].to_numpy())
    reader.close()
    assert said == {"good": "finished", "lost": "worse than floor"}


# ---- what is not finite


@pytest.fixture
def trainer(packs: tuple[Pack, Pack], tmp_path: Path):  # type: ignore[no-untyped-def]  # noqa: F811
    """Return make(then, **options) -> a Trainer whose listener calls `then` after each epoch."""

    def make(then=lambda epoch: None, **options: object) -> Trainer:  # type: ignore[no-untyped-def]
        config = tiny(training__epochs=3, **options)
        train, _ = packs
        model = registry.build(config, IBUG68)
        return Trainer(config, model, train, train, tmp_path / "run", Listener(then))

    return make


def spoil(trainer: Trainer, value: float) -> None:
    with torch.no_grad():
        for weight in trainer.model.parameters():
            weight.fill_(value)


def assert_diverged(outcome: Outcome, what: str, epoch: int) -> None:
    assert outcome.state == "diverged"
    assert outcome.reason is not None
    assert outcome.reason == f"{what} in epoch {epoch}: lower training.lr, which is 0.01"
    assert outcome.epochs == epoch - 1
    result = Result("0" * 32, "name", outcome)
    assert result.exit_code() == 1
    said = result.sentence(DEFAULT_PATH)
    assert "\n" not in said
    assert outcome.reason in said


def test_a_loss_that_is_not_finite_is_a_diverged_run(trainer) -> None:  # type: ignore[no-untyped-def]
    """LeeRel1991/faceAlignment_tensorflow#18, deepinsight/insightface#572 and #583"""
    one = trainer(lambda epoch: spoil(one, 1e38) if epoch == 1 else None)
    assert_diverged(one.run(), "the loss was no longer finite", 2)


def test_weights_that_are_not_finite_after_the_last_step_are_a_diverged_run(trainer) -> None:  # type: ignore[no-untyped-def]
    """deepinsight/insightface#572: the loss was still a number, the weights were not."""
    one = trainer()
    step = one.step

    def spoiling(*given: object) -> dict[str, torch.Tensor]:
        losses = step(*given)  # type: ignore[arg-type]
        spoil(one, float("nan"))
        return dict.fromkeys(losses, torch.tensor(1.0))

    one.step = spoiling  # type: ignore[method-assign]
    assert_diverged(one.run(), "some weights were no longer finite", 1)


@pytest.mark.parametrize(
    "error",
    [
        np.linalg.LinAlgError("SVD did not converge"),
        torch.linalg.LinAlgError("the input is not positive-definite"),
        ValueError("Input contains NaN"),
        FloatingPointError("invalid value"),
        IndexError("index out of range"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_breaks_on_weights_that_are_not_finite_is_a_divergence(
    trainer,  # type: ignore[no-untyped-def]
    error: Exception,
) -> None:
    """deepinsight/insightface#583: what was seen first was an error of a linear-algebra routine."""
    one = trainer()

    def breaks(*given: object) -> None:
        spoil(one, float("inf"))
        raise error

    one.model.leaf_step = breaks  # type: ignore[method-assign]
    assert_diverged(one.run(), "some weights were no longer finite", 1)


def test_an_error_while_the_weights_are_finite_stays_an_error(trainer) -> None:  # type: ignore[no-untyped-def]
    one = trainer()

    def breaks(*given: object) -> None:
        raise ValueError("a bug")

    one.model.leaf_step = breaks  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="a bug"):
        one.run()


def test_predictions_that_are_not_finite_are_a_diverged_run(trainer) -> None:  # type: ignore[no-untyped-def]
    """LeeRel1991/faceAlignment_tensorflow#18: landmarks were NaN in the validation."""
    one = trainer()
    step = one.step

    def spoiling(*given: object) -> dict[str, torch.Tensor]:
        losses = step(*given)  # type: ignore[arg-type]
        with torch.no_grad():
            for weight in one.average.model.parameters():
                weight.fill_(1e38)  # finite, but no product of two is
        return losses

    one.step = spoiling  # type: ignore[method-assign]
    outcome = one.run()
    assert outcome.state == "diverged"
    assert "faces were not finite in epoch 1" in str(outcome.reason)


def test_a_run_no_better_than_one_shape_ends_as_diverged(
    trainer,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found in the review: an NME of 100 %, where the mean shape has 18, was "finished"."""
    monkeypatch.setattr(loop, "FLOOR_AFTER_STEPS", 1)
    hopeless = trainer(training__lr=1e-9).run()
    assert hopeless.state == "diverged"
    assert "is no better than that of one shape for every face" in str(hopeless.reason)
    monkeypatch.setattr(loop, "FLOOR_AFTER_STEPS", 500)  # so short a run says nothing yet
    assert trainer(training__lr=1e-9).run().state == "finished"


def test_a_model_that_predicts_nan_is_not_evaluated(packs: tuple[Pack, Pack]) -> None:  # noqa: F811
    """deepinsight/insightface#572"""
    model = registry.build(tiny(), IBUG68)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(torch.nan)
    with pytest.raises(Diverged, match=r"faces were not finite.*lower training\.lr"):
        evaluate(Predictor(model, torch.device("cpu"), "fp32"), packs[1])


def test_calibration_leaves_out_covariances_that_are_not_finite(
    packs: tuple[Pack, Pack],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from drf.inference.prediction import Predictions
    from drf.training import validation

    pack = packs[1]
    points = pack.picture_points + 1
    for value, expected in ((np.nan, None), (1.0, True)):
        covariances = np.broadcast_to(np.eye(2) * value, (*points.shape, 2)).copy()
        covariances[0] = np.inf
        found = Predictions(points, 1.0, covariances)
        monkeypatch.setattr(validation, "predict", lambda *_, found=found, **__: found)
        predictor = Predictor(registry.build(tiny(), IBUG68), torch.device("cpu"), "fp32")
        corrected = validation.recalibrate(predictor, pack)
        assert (corrected is None) == (expected is None)


@pytest.mark.slow
def test_a_rate_far_too_high_is_one_sentence(drf: Drf, tmp_path: Path) -> None:  # noqa: F811
    """deepinsight/insightface#583, from the command line."""
    small = ("data.synthetic_train_size=48", "data.input_size=32", "model.width=8")
    blows_up = ("training.lr=10", "training.weight_decay=1")  # weights times -9 with each step
    words = [word for value in (*small, *blows_up) for word in ("--set", value)]
    answer = drf("train", "hourglass", *words, "--epochs", 20, "--db", tmp_path / "nan.db")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert "diverged after" in answer.err
    assert "lower training.lr" in answer.err
    (row,) = drf("runs", "list", "--json", "--db", tmp_path / "nan.db").json
    assert (row["state"], row["condition"]) == ("diverged", "diverged")


# ---- interrupted or finished


def test_a_budget_that_is_used_up_finishes_a_run_and_ctrl_c_interrupts_it(trainer) -> None:  # type: ignore[no-untyped-def]
    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    by_budget = trainer(training__max_minutes=1e-4).run()
    assert by_budget.state == "finished"
    stopped = trainer(stop).run()
    assert stopped.state == "interrupted"


def test_an_interrupted_run_counts_the_epochs_it_finished(trainer) -> None:  # type: ignore[no-untyped-def]
    """Cognexa/cxflow#171: "interrupted after 4 epochs" when 3 were done."""
    one = trainer()
    step, seen = one.step, []

    def interrupted(*given: object) -> dict[str, torch.Tensor]:
        seen.append(given)
        if one.state.epoch == 3:
            raise KeyboardInterrupt
        return step(*given)  # type: ignore[arg-type]

    one.step = interrupted  # type: ignore[method-assign]
    outcome = one.run()
    assert (outcome.state, outcome.epochs) == ("interrupted", 2)


# ---- figures of a heartbeat


def test_the_number_of_epochs_is_that_of_the_recorded_ones(cli: Drf) -> None:
    """Cognexa/cxflow#171, catalyst-team/catalyst#684: a tracker showed 1 epoch of 3, 199 of 200."""
    listed = {row["name"]: row for row in cli("runs", "list", "--json").json}
    assert {row["epoch"] for row in listed.values()} == {13}
    assert cli("runs", "show", "good", "--json").json["epoch"] == 13
    assert listed["killed"]["progress"] == pytest.approx(13 / 20)
    assert listed["good"]["progress"] == 1


def test_a_run_that_was_cut_off_has_its_best_so_far_and_its_time(cli: Drf) -> None:
    """Found in the review: "–" beside a curve that shows it."""
    for name in ("killed", "trains"):
        shown = cli("runs", "show", name, "--json").json
        assert (shown["kept_epoch"], shown["kept_val_nme"]) == (9, 0.05)
    listed = {row["name"]: row for row in cli("runs", "list", "--json").json}
    assert listed["killed"]["wall_s"] == 300.0
    rows = {row["name"]: row for row in cli("leaderboard", "--json").json}
    assert rows["killed"]["condition"] == "crashed"


def test_the_app_shows_the_same_figures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.webapp.conftest import opened, texts

    monkeypatch.setenv("DRF_DB", str(path))
    page = opened("views/run.py", run="killed")
    assert not page.exception
    assert "65 \\% done\\, epoch 13" in page.progress[0].text
    said = texts(page)
    assert "5 min 0 s" in said
    assert "5\\.00 \\%" in said
    assert "drf train killed" in [code.value for code in page.code]


def test_a_run_that_was_cut_off_says_how_it_goes_on(
    path: Path,
    cli: Drf,
) -> None:
    """bghira/SimpleTuner#2353, NovaSky-AI/SkyRL#1516: nobody could go on with a killed run."""
    shown = cli("runs", "show", "killed")
    again = "It has no checkpoint to go on from; start again: drf train killed"
    assert shown.err.strip() == again
    run = cli("runs", "show", "killed", "--json").json
    assert run["next_step"] == again
    folder = path.parent / run["id"]
    folder.mkdir()
    (folder / LAST).touch()
    assert f"drf train --resume {run['id'][:8]}" in cli("runs", "show", "killed").err
    assert next_step.evaluation(run, path).command is None
    (folder / BEST).touch()
    assert next_step.evaluation(run, path).command == f"drf eval {run['id'][:8]}"
    assert next_step.evaluation(run | {"status": "running"}, path).command is None
    for name in ("good", "trains", "flat", "nan"):
        assert cli("runs", "show", name).err == ""
    for file in (LAST, BEST):
        (folder / file).unlink()
    folder.rmdir()


def test_checkpoints_have_the_names_that_the_store_looks_for() -> None:
    assert (checkpoint.BEST, checkpoint.LAST) == (BEST, LAST)
    assert replace(Outcome("finished", 0, 0, None, 0.0, 0.0), epochs=1).epochs == 1


def test_a_clock_that_was_put_right_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """chovanecm/sacredboard#27 and its like: the start of a process is counted from the boot time,
    which follows the clock, so a living run was called crashed after a correction of the clock."""
    db = open_store(tmp_path / "clock.db")
    run = runs.start_run(db, examples.new_run())
    told = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: told(process) + 3600)
    runs.record_heartbeat(db, run, epoch=1, progress=0.1, faces_per_s=1.0)
    db.close()
    with contextlib.closing(open_reader(tmp_path / "clock.db")) as reader:
        assert reads.run(reader, run)["status"] == "running"


def test_a_comparison_of_two_runs_says_which_is_not_ranked(cli: Drf) -> None:
    told = cli("runs", "diff", "good", "killed").err
    assert "is not ranked (crashed)" in told
    assert told.count("not ranked") == 1


def test_what_is_not_ranked_raises_no_doubt_about_what_is(path: Path) -> None:
    """A run killed early had less budget than all others, which says nothing of their ranks."""
    view = view_of(path)
    assert not any("budget" in remark for remark in view.remarks)
