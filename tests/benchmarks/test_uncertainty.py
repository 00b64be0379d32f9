"""What covariances are worth, of a stored evaluation, against the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import uncertainty as benchmark
from db.connection import open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import start_run
from drf.errors import NotFoundError
from drf.landmarks.markup import IBUG68
from drf.scoring import scores, uncertainty
from tests.db import examples


def test_the_newest_evaluation_with_covariances_is_measured(tmp_path) -> None:
    con = open_store(tmp_path / "drf.db")
    run = start_run(con, examples.new_run())
    scale = np.linspace(1, 9, 6 * 68).reshape(6, 68, 1, 1)
    made = examples.evaluation(covariances=scale * np.eye(2))
    record_evaluation(con, run, made, [])
    record_evaluation(con, run, examples.evaluation(), [])
    elsewhere = examples.evaluation(dataset="other", covariances=np.eye(2) + np.zeros_like(scale))
    record_evaluation(con, run, elsewhere, [])
    found = benchmark.measure(con.conn, run, "common")
    errors = scores.point_errors(made.predictions, made.ground_truth, "ocular", IBUG68)
    distance = scores.distances(made.ground_truth, "ocular", IBUG68)[:, None]
    order = np.argsort((scale[..., 0, 0] / distance**2).ravel())
    curve = np.cumsum(errors.ravel()[order]) / np.arange(1, errors.size + 1)
    assert found["nme"] == pytest.approx(100 * errors.mean())
    assert found["landmarks"]["area"] == pytest.approx(100 * curve.mean(), rel=1e-4)
    least = uncertainty.risk_coverage(errors, errors).area
    assert found["landmarks"]["least"] == pytest.approx(100 * least)
    expected = np.sqrt(scale)[..., 0, 0] / distance
    faces = uncertainty.risk_coverage(errors.mean(axis=1), expected.mean(axis=1))
    assert found["faces"]["area"] == pytest.approx(100 * faces.area)
    assert list(found["regions"]) == list(IBUG68.regions)
    with pytest.raises(NotFoundError, match="no evaluation on helen with covariances"):
        benchmark.measure(con.conn, run, "helen")
