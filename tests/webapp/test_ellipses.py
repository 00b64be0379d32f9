"""What a model expects of its errors goes from the store to the large face."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.predictions import predictions
from db.recording.evaluations import record_evaluation
from db.recording.runs import start_run
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.db import examples
from tests.webapp.conftest import opened
from tests.webapp.test_images import large
from webapp import store
from webapp.faces import calibration, ellipses
from webapp.static_site.site import write_site


def test_faces_come_with_covariances_where_a_run_has_them(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    con = open_store(path)
    run = start_run(con, examples.new_run())
    expected = np.broadcast_to(np.diag([4.0, 9.0]), (6, 68, 2, 2))
    sure = record_evaluation(con, run, examples.evaluation(covariances=expected), [])
    silent = record_evaluation(con, run, examples.evaluation(), [])
    con.close()
    reader = open_reader(path)
    face = int(predictions(reader, sure)[0][0])
    reader.close()
    (with_ellipses,) = store.faces(str(path), [(sure, face)])
    (without,) = store.faces(str(path), [(silent, face)])
    assert with_ellipses.covariances is not None
    np.testing.assert_array_equal(with_ellipses.covariances, expected[0])
    assert without.covariances is None


def test_a_toggle_in_the_link_hides_what_models_expect(tmp_path: Path, monkeypatch) -> None:
    con = open_store(tmp_path / "drf.db")
    run = start_run(con, examples.new_run())
    expected = np.broadcast_to(np.diag([4.0, 9.0]), (6, 68, 2, 2))
    record_evaluation(con, run, examples.evaluation(covariances=expected), [])
    con.close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    drawn = []
    for chosen in ({}, {"img_ellipses": "false"}):
        link = {"img_runs": run[:8], "img_face": "common/00000", **chosen}
        app = opened("views/images.py", **link)
        assert not app.exception
        drawn.append(len(json.dumps(large(app)[0]["data"])))
    assert drawn[0] > drawn[1]


def test_expected_errors_are_held_against_real_ones_by_the_norms_distance(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    con = open_store(path)
    run = start_run(con, examples.new_run())
    covariances = np.broadcast_to(np.diag([4.0, 4.0]), (6, 68, 2, 2))
    made = examples.evaluation(covariances=covariances)
    sure = record_evaluation(con, run, made, [])
    silent = record_evaluation(con, run, examples.evaluation(), [])
    con.close()
    of = run, sure, "ibug68", "all", "ocular"
    found = calibration.of_evaluation(str(path), *of)
    assert found is not None
    distance = scores.distances(made.ground_truth, "ocular", IBUG68)
    assert found.counts.sum() == 6 * 68
    expected = np.average(found.expected, weights=found.counts)
    assert expected == pytest.approx((2 * np.sqrt(np.pi / 2) / distance).mean(), rel=1e-3)
    real = np.average(found.real, weights=found.counts)
    assert real == pytest.approx(made.errors("ocular").mean(), rel=1e-5)
    assert calibration.of_evaluation(str(path), run, silent, *of[2:]) is None
    chart = calibration.chart([("a <b>", found)], "ocular", [0])
    assert list(chart.figure.data[0].customdata) == found.counts.tolist()
    assert "<" not in chart.figure.data[0].name


def test_the_chart_says_of_every_region_what_its_ellipses_hold_and_how_large_they_are(
    tmp_path: Path,
) -> None:
    path = tmp_path / "drf.db"
    con = open_store(path)
    run = start_run(con, examples.new_run())
    made = examples.evaluation(covariances=np.broadcast_to(np.diag([4.0, 4.0]), (6, 68, 2, 2)))
    silent = record_evaluation(con, run, examples.evaluation(), [])
    sure = record_evaluation(con, run, made, [])
    con.close()
    found = store.ellipses(str(path), run, sure, "ibug68", "all")
    assert found is not None
    assert list(found) == list(IBUG68.regions)
    radius = math.sqrt(-2 * math.log(0.05)) * 2
    distance = scores.distances(made.ground_truth, "ocular", IBUG68)
    assert found["jaw"].radius["ocular"] == pytest.approx((radius / distance).mean(), rel=1e-3)
    away = np.linalg.norm(made.predictions - made.ground_truth, axis=-1)[:, IBUG68.regions["jaw"]]
    assert found["jaw"].inside.estimate == pytest.approx((away <= radius).mean())
    chart = ellipses.chart(found, "ocular")
    drawn = dict(zip(chart.figure.data[0].y, chart.figure.data[0].x, strict=True))
    assert drawn["jaw"] == pytest.approx(100 * found["jaw"].inside.estimate)
    assert f"jaw {drawn['jaw']:.1f} %, radius" in chart.alt
    assert store.ellipses(str(path), run, silent, "ibug68", "all") is None
    reader = open_reader(path)
    chosen = bundle.select(reader, runs=[run], subset=None)
    write_site(reader, tmp_path / "site", chosen, faces=1, images=False)
    reader.close()
    (page,) = (tmp_path / "site" / "runs").glob("*.html")
    assert page.read_text().count("<h3>95 % ellipses by region</h3>") == len(scores.NORMALISERS)
