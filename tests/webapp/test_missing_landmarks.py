"""Landmarks that every face lacks, and landmarks that some faces lack, on every page.

Every face lacks the nose; the first half has no brows, and the second no jaw. The second run was
evaluated on the first half alone, so that its faces have no brows at all.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db import reads
from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording import evaluations, runs
from drf.landmarks.markup import IBUG68, MISSING, VISIBLE
from drf.scoring.results import Evaluation
from tests.webapp import examples
from tests.webapp.conftest import opened, texts
from webapp.faces import landmark_errors, tiles
from webapp.faces.tiles import Tile
from webapp.static_site.site import write_site

HALF = 15
NAMES = ("whole", "half")


def judged(error: float, seed: int, n: int) -> Evaluation:
    """The first n faces of the example, without what they lack, with covariances."""
    made = examples.evaluation("common", error, seed)
    truth = made.ground_truth.astype(np.float32)
    truth[:, 27:36] = np.nan
    truth[:HALF, 17:27] = np.nan
    truth[HALF:, :17] = np.nan
    return replace(
        made,
        names=made.names[:n],
        ground_truth=truth[:n],
        predictions=made.predictions[:n],
        visibility=np.where(np.isfinite(truth[:n]).all(-1), VISIBLE, MISSING).astype(np.uint8),
        covariances=np.tile(np.float32(30 * np.eye(2)), (n, 68, 1, 1)),
        manifest={"faces": n, "skipped": {}, "digest": f"first {n}"},
    )


RESULTS = {"whole": judged(0.04, 1, 2 * HALF), "half": judged(0.05, 2, HALF)}


def literal(result: Evaluation, j: int) -> list[float]:
    """The errors of a landmark on the faces that have it, ocular."""
    return [
        float(np.linalg.norm(guess[j] - truth[j]) / np.linalg.norm(truth[36] - truth[45]))
        for guess, truth in zip(result.predictions, result.ground_truth, strict=True)
        if np.isfinite(truth[j]).all()
    ]


def nme(result: Evaluation) -> float:
    """The definition: the mean over faces of the mean over the landmarks that a face has."""
    of_faces = []
    for guess, truth in zip(result.predictions, result.ground_truth, strict=True):
        there = [j for j in range(68) if np.isfinite(truth[j]).all()]
        away = np.mean([np.linalg.norm(guess[j] - truth[j]) for j in there])
        of_faces.append(away / np.linalg.norm(truth[36] - truth[45]))
    return float(np.mean(of_faces))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("missing") / "drf.db"
    db, ids = open_store(path), {}
    for number, name in enumerate(NAMES):
        new = examples.with_config(examples.HOURGLASS, **{"model.stacks": number + 1})
        ids[name] = runs.start_run(db, replace(new, name=name))
        result = RESULTS[name]
        points = dict(zip(result.names, result.ground_truth, strict=True))
        crops = [
            replace(crop, points=points[crop.name], visibility=seen)
            for crop, seen in zip(
                [c for c in examples.faces("common")[2] if c.name in points],
                [
                    seen
                    for face, seen in zip(result.names, result.visibility, strict=True)
                    if face != examples.WITHOUT_PICTURE
                ],
                strict=True,
            )
        ]
        evaluations.record_evaluation(db, ids[name], result, crops)
        runs.end_run(
            db, ids[name], "finished", reason=None, wall_s=60.0, faces_per_s=400.0,
            kept_epoch=None, kept_val_nme=None,
        )  # fmt: skip
    db.close()
    return path, ids


@pytest.fixture
def ids(filled, monkeypatch) -> dict[str, str]:
    monkeypatch.setenv("DRF_DB", str(filled[0]))
    return filled[1]


def shown(app, title: str) -> dict:
    """The chart below a subheader of the run page."""
    titles = [one.value for one in app.subheader]
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    return charts[titles.index(title)]


def test_the_run_page_shows_the_landmarks_that_a_face_has_and_the_nme_of_the_board(filled, ids):
    app = opened("views/run.py", run=ids["whole"][:8])
    assert not app.exception
    result = RESULTS["whole"]
    discs = shown(app, "Error by landmark")["data"][-1]
    known = [j for j in range(68) if not 27 <= j < 36]
    assert list(discs["text"]) == [IBUG68.title(j) for j in known]
    regions = shown(app, "Error by region")
    assert set(regions["data"][0]["y"]) == {"jaw", "brows", "eyes", "mouth"}
    jaw = dict(zip(regions["data"][0]["y"], regions["data"][0]["x"], strict=True))["jaw"]
    assert jaw == pytest.approx(100 * np.mean([np.mean(literal(result, j)) for j in range(17)]))
    con = open_reader(filled[0])
    board = reads.leaderboard(con).set_index("run")["ocular_nme"]
    con.close()
    assert board[ids["whole"]] == pytest.approx(100 * nme(result), rel=1e-5)
    (line,) = regions["layout"]["annotations"]
    assert line["text"] == f"NME {100 * nme(result):.2f}"
    of_landmarks = 100 * np.mean([np.mean(literal(result, j)) for j in known])
    assert f"{of_landmarks:.2f}" != f"{100 * nme(result):.2f}"  # else the test shows nothing
    assert "nan" not in said(app)


def said(app) -> str:
    """What a page says, and the alt texts and texts of its charts."""
    alts = [chart.proto.alt for chart in app.get("plotly_chart")]
    layouts = [
        json.dumps(json.loads(chart.proto.spec)["layout"]) for chart in app.get("plotly_chart")
    ]
    return "\n".join([texts(app), *alts, *layouts]).lower()


PAGES = {
    "faces": ("views/run.py", {"run_tab": "Faces", "run_segments": "true"}),
    "a face": ("views/run.py", {"run_tab": "Faces", "img_face": "common/00000"}),
    "slices": ("views/run.py", {"run_tab": "Slices"}),
    "board": (None, {}),
    "images": ("views/images.py", {}),
    "doubt": ("views/images.py", {"img_sort": "Doubtful label", "img_face": "common/00001"}),
    "compare": ("views/compare.py", {}),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("run", NAMES)
def test_every_page_does_without_what_is_missing(ids, page, run):
    script, query = PAGES[page]
    both = {"img_runs": ",".join(i[:8] for i in ids.values()), "run": ids[run][:8]}
    order = [ids[run], *(other for name, other in ids.items() if name != run)]
    both["cmp_runs"] = ",".join(i[:8] for i in order)
    wanted = {"views/run.py": "run", "views/images.py": "img_runs", "views/compare.py": "cmp_runs"}
    named = {wanted[script]: both[wanted[script]]} if script else {}
    app = opened(script, **named, **query)
    assert not app.exception
    assert not app.error
    assert "nan" not in said(app).replace("nano", "")


def test_a_region_that_the_faces_of_one_run_lack_has_no_mark_of_it(ids):
    for first, second in (NAMES, NAMES[::-1]):
        runs_asked = f"{ids[first][:8]},{ids[second][:8]}"
        app = opened("views/compare.py", cmp_runs=runs_asked)
        charts = [json.loads(chart.proto.spec)["data"] for chart in app.get("plotly_chart")]
        regions = next(traces for traces in charts if "mouth" in traces[0].get("y", ()))
        marks = {trace["name"]: set(trace["y"]) for trace in regions}
        assert marks["whole"] == {"jaw", "brows", "eyes", "mouth"}
        assert marks["half"] == {"jaw", "eyes", "mouth"}


def test_differences_are_of_landmarks_that_a_face_of_both_has(filled, ids):
    con = open_reader(filled[0])
    newest = {run: int(reads.evaluations(con, run)["evaluation"].iloc[0]) for run in ids.values()}
    con.close()
    one, other = ((ids[name], newest[ids[name]]) for name in NAMES)
    found = landmark_errors.difference(str(filled[0]), one, other, "ibug68", "all", "ocular")
    assert found.of.points.tolist() == [*range(17), *range(36, 68)]
    first, second = (literal(RESULTS[name], 40)[:HALF] for name in NAMES)
    at = found.of.points.tolist().index(40)
    assert found.mean[at] == pytest.approx(np.mean(first) - np.mean(second), rel=1e-3)
    assert len(found.p_value) == len(found.mean) == len(found.of.errors) == 49
    chart = landmark_errors.by_difference(found, NAMES, "ocular", landmark_errors.limit([found]))
    assert " of 49 landmarks" in chart.alt


def test_the_exported_site_does_without_what_is_missing(filled, tmp_path):
    con = open_reader(filled[0])
    chosen = bundle.select(con, runs=(), subset=None)
    write_site(con, tmp_path / "site", chosen, faces=4, images=True)
    con.close()
    for name, run in filled[1].items():
        page = (tmp_path / f"site/runs/{run}.html").read_text()
        assert "NaN" not in page
        assert f"{100 * nme(RESULTS[name]):.2f}" in page


def test_a_watched_face_without_the_normaliser_has_no_number(ids, monkeypatch):
    captions = []
    monkeypatch.setattr(tiles.st, "image", lambda *_, caption, **__: captions.append(caption))
    tiles.show_tile(Tile("common/1", float("nan"), b"jpeg"), "Epoch 1: validation")
    tiles.show_tile(Tile("common/2", 0.034, b"jpeg"), "Epoch 1: validation")
    assert [said.split("  \n")[0] for said in captions] == ["**–**", "**3.40 %**"]


@pytest.mark.parametrize("page", ["compare", "images", "ablations"])
def test_runs_whose_faces_all_lack_the_normaliser_show_no_error(tmp_path, monkeypatch, page):
    path = tmp_path / "drf.db"
    db = open_store(path)
    for width in (1, 2):
        new = replace(examples.with_config(examples.HOURGLASS, **{"model.width": width}), seed=0)
        run = runs.start_run(db, replace(new, name=f"width {width}"))
        made = judged(0.04, width, HALF)
        made.ground_truth[:, 36] = np.nan
        evaluations.record_evaluation(db, run, replace(made, visibility=None), [])
        runs.end_run(
            db, run, "finished", reason=None, wall_s=60.0, faces_per_s=400.0, kept_epoch=None,
            kept_val_nme=None,
        )  # fmt: skip
    db.close()
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened(f"views/{page}.py", norm="Ocular")
    assert not app.exception
    assert "no face in common that has the ocular distance" in texts(app)
