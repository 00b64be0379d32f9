"""The run page, section by section."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from db.connection import open_store
from db.recording import evaluations
from drf import presets
from drf.data.crops import decode_jpeg
from drf.landmarks.markup import IBUG68
from drf.scoring import scores, statistics
from tests.webapp import examples
from tests.webapp.conftest import opened, texts
from webapp.faces import tiles
from webapp.store import StoredFace


def specs(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_scores_and_facts_stand_on_top(shop):
    app = shop.run("wide")
    assert not app.exception
    assert app.title[0].value == "hourglass\\-wide"
    made = examples.evaluation("common", 0.034, 1)
    nme = 100 * scores.nme(made.errors("ocular"))
    assert app.metric[0].value == f"{nme:.2f} %"
    said = texts(app)
    for fact in (
        "ten-minutes",
        "bf16",
        "cpu",
        "9 min 58 s",
        "412 faces/s",
        "4.91 M",
        "3.4 G",
    ):
        assert fact in said


def test_the_norm_and_the_evaluation_come_from_the_link(shop):
    app = shop.run("wide", norm="Pupil", run_eval="synthetic/challenging/gt")
    made = examples.evaluation("challenging", 0.034 * 1.7, 1)
    assert app.metric[0].value == f"{100 * scores.nme(made.errors('pupil')):.2f} %"


def test_scores_without_flip_test_have_no_rank_where_another_evaluation_has_it(
    shop, tmp_path, monkeypatch
):
    path = tmp_path / "drf.db"
    shutil.copy(shop.path, path)
    store = open_store(path)
    without = replace(examples.evaluation("common", 0.9, 1), flip_test=False)
    evaluations.record_evaluation(store, shop.ids["wide"], without, [])
    store.close()
    monkeypatch.setenv("DRF_DB", str(path))
    board = "synthetic/common/gt"
    assert "Rank 1 of 3 ranked runs" in texts(shop.run("wide", run_eval=board))
    said = texts(app := shop.run("wide", run_eval=f"{board}/no-flip"))
    assert app.metric[0].value == f"{100 * scores.nme(without.errors('ocular')):.2f} %"
    assert "interval of the NME over 30 faces" in said
    assert "Rank " not in said


def test_results_show_the_ced_of_every_face(shop):
    app = shop.run("wide")
    ced, histogram, landmarks, regions = specs(app)
    assert ced["data"][0]["line"]["shape"] == "hv"
    assert "FR" in ced["layout"]["annotations"][0]["text"]
    assert histogram["data"][0]["type"] == "bar"
    assert landmarks["data"][-1]["text"][36] == "36 · right eye, outer corner"
    assert set(regions["data"][0]["y"]) == {"jaw", "brows", "nose", "eyes", "mouth"}
    for chart in app.get("plotly_chart"):
        assert chart.proto.alt
    assert list(app.dataframe[0].value["subset"]) == ["challenging", "common"]


def test_faces_worst_first_with_their_error_and_alt_text(shop):
    app = shop.run("wide", run_tab="Faces")
    assert not app.exception
    errors = 100 * examples.evaluation("common", 0.034, 1).errors("ocular")
    said = texts(app)
    assert "Worst 10 of 30" in said
    assert "Median 10 of 30" in said
    assert "Best 10 of 30" in said
    pictures = [image for element in app.get("image") for image in element.proto.imgs]
    assert pictures[0].alt.startswith("Worst face common/")
    assert f"{max(errors):.2f} %" in pictures[0].alt
    assert pictures[-1].alt.startswith("Best face common/")
    alts = [picture.alt for picture in pictures if picture.alt.startswith("Median")]
    medians = [float(alt.partition(" %;")[0].rpartition(" ")[2]) for alt in alts]
    assert min(medians) <= np.median(errors) <= max(medians)


def test_a_face_of_a_run_opens_large_and_its_link_reopens_it(shop):
    app = shop.run("wide", run_tab="Faces")
    button = next(b for b in app.button if b.key.startswith("img_open_"))
    button.click().run()
    assert not app.exception
    face = app.query_params["img_face"]
    again = shop.run("wide", run_tab="Faces", img_face=face, img_numbers="true")
    (figure,) = specs(again)
    numbers = next(trace for trace in figure["data"] if trace["mode"] == "text")
    assert numbers["text"] == [str(k) for k in range(68)]
    assert "1 of 30, by error" in texts(again)
    next(b for b in again.button if b.label == "Next").click().run()
    assert "2 of 30, by error" in texts(again)


def test_slices_split_the_errors_by_an_attribute_of_the_link(shop):
    app = shop.run("wide", run_tab="Slices", run_slice="Box size")
    assert not app.exception
    (figure,) = specs(app)
    made = examples.evaluation("common", 0.034, 1)
    sizes = scores.box_size(made.ground_truth)
    smallest = sizes < np.quantile(sizes, 0.2)
    assert figure["data"][0]["y"][0] == pytest.approx(
        100 * made.errors("ocular")[smallest].mean(), rel=1e-3
    )
    assert f"{smallest.sum()} faces" in figure["data"][0]["x"][0]


def test_the_cards_say_how_sure_a_score_is_and_where_the_run_stands(shop):
    app = shop.run("wide")
    first, second = (
        examples.evaluation("common", *made).errors("ocular") for made in ((0.034, 1), (0.041, 0))
    )
    (gap,) = statistics.mean_intervals((first - second)[None])
    ends = f"[{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]".replace("-", "−")
    assert app.metric[0].delta == f"−{-100 * gap.estimate:.2f} {ends}"
    said = texts(app).replace("\\", "")
    assert "Rank 1 of 3 ranked runs of this board" in said
    assert "difference to hourglass, the best run of another method" in said


def test_the_preset_says_in_one_line_what_the_method_is(shop):
    assert presets.load("hourglass").summary.rstrip(".") in texts(shop.run("wide")).replace(
        "\\", ""
    )


@pytest.mark.parametrize("n", [1, 2, 3, 7, 26, 30, 36, 330])
def test_no_face_is_worst_median_and_best_at_once(n):
    errors = pd.DataFrame({"name": [f"{k:03}" for k in range(n)], "ocular": np.arange(n)[::-1]})
    shown = tiles.extremes(errors, "ocular")
    worst, median, best = (rows["ocular"].tolist() for rows in shown.values())
    assert worst == list(range(n))[::-1][: len(worst)]
    assert best == list(range(n))[: len(best)]
    assert len({*worst, *median, *best}) == len([*worst, *median, *best]) == min(n, 36)
    assert max(len(worst), len(median), len(best)) <= tiles.SHOWN
    if median:
        assert median[0] >= np.median(errors["ocular"]) >= median[-1]


def test_a_face_without_a_stored_picture_says_so(shop):
    app = shop.run("wide", run_tab="Faces")
    pictures = sum(len(element.proto.imgs) for element in app.get("image"))
    missing = texts(app).count("No picture of this face in the store")
    assert pictures + missing == 30
    assert missing == 1
    assert any(b.label.endswith(examples.WITHOUT_PICTURE[-5:]) for b in app.button)


def test_a_model_of_the_eyes_is_drawn_with_the_eyes_alone():
    _, truth, crops = examples.faces("common")
    eyes = np.full_like(truth[0], np.nan)
    eyes[36:48] = truth[0, 36:48] + 1
    drawn = tiles.draw([StoredFace(IBUG68, truth[0], eyes, (crops[0].jpeg, crops[0].to_picture))])
    picture = crops[0].jpeg, crops[0].to_picture
    whole = tiles.draw([StoredFace(IBUG68, truth[0], truth[0] + 1, picture)])
    apart = np.abs(decode_jpeg(drawn).astype(int) - decode_jpeg(whole)).max(axis=(1, 2))
    assert apart[-len(apart) // 4 :].max() > 100  # the jaw is in one of them


def test_curves_mark_the_kept_epoch(shop):
    loss, validation, rate = specs(shop.run("wide", run_tab="Training"))
    assert [trace["name"] for trace in loss["data"]] == ["total loss", "loss: stack1"]
    assert validation["layout"]["annotations"][0]["text"] == "kept: epoch 38"
    assert rate["data"][0]["name"] == "learning rate"


def test_a_model_without_epochs_has_no_curves(shop):
    app = shop.run("floor", run_tab="Training")
    assert not app.get("plotly_chart")
    assert "have no curves" in texts(app)


def test_configuration_lists_what_is_not_a_default_then_all(shop):
    app = shop.run("wide", run_tab="Configuration")
    changed = app.dataframe[0].value
    assert set(changed["key"]) == {"training.lr", "training.epochs", "model.width", "note"}
    assert dict(zip(changed["key"], changed["source"], strict=True))["training.lr"] == "--set"
    app.toggle(key="run_changed").set_value(False).run()
    assert set(app.dataframe[0].value["key"]) == set(examples.HOURGLASS.config)


def test_provenance_has_commit_versions_diff_and_the_command(shop):
    app = shop.run("wide", run_tab="Configuration")
    made = dict(app.dataframe[1].value.to_numpy())
    assert made["git_commit"] == "3f2a9c1e" * 5
    assert made["versions.torch"] == "2.13.0"
    code = [element.value for element in app.code]
    repeat = "git checkout 3f2a9c1e\ndrf train hourglass --set training.lr=0.001 --seed 0\n"
    assert f"{repeat}drf eval hourglass-wide" in code
    assert examples.DIFF.strip() in [text.strip() for text in code]


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("wide", "finished"),
        ("image", "interrupted"),
        ("script", "crashed"),
        ("formula", "failed"),
        ("silent", "stale"),
    ],
)
def test_the_status_has_words_and_a_sign(shop, key, status):
    said = texts(shop.run(key))
    assert f"{status}]" in said
    assert ":material/" in said


def test_a_crashed_run_tells_how_far_it_came(shop):
    progress = shop.run("script").progress[0]
    assert progress.value == 30
    assert "epoch 12" in progress.text
    assert "process is gone" in progress.text


def test_a_run_without_evaluation_says_how_to_get_one_when_it_can_be_had(shop):
    checkpoint = shop.path.parent / shop.ids["silent"] / "best.safetensors"
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    for tab in ("Results", "Faces"):
        commands = {}
        for key in ("untested", "silent"):
            app = shop.run(key, run_tab=tab)
            assert not app.exception
            commands[key] = [code.value for code in app.code]
        assert not any("drf eval" in command for command in commands["untested"])
        assert f"drf eval {shop.ids['silent'][:8]}" in commands["silent"]


def test_a_name_opens_its_run_and_without_any_the_newest_opens(shop):
    assert opened("views/run.py", run="hourglass-wide").title[0].value == "hourglass\\-wide"
    assert opened("views/run.py").title[0].value == "untested"


@pytest.mark.parametrize("wanted", ["nosuchrun", "", "%", "' OR 1=1 --", "../../etc/passwd"])
def test_an_unknown_run_is_told_and_can_be_chosen(shop, wanted):
    app = opened("views/run.py", run=wanted)
    assert not app.exception
    assert not app.title
    assert "No run matches" in app.warning[0].value
    app.selectbox(key="run_choice").select(shop.ids["wide"]).run()
    assert app.title[0].value == "hourglass\\-wide"
    assert app.query_params["run"] == shop.ids["wide"][:8]
