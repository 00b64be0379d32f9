"""A made-up markup from its faces to the pages: trained, evaluated, stored, shown and exported.

The faces are the synthetic ones with 5 or 98 landmarks in the place of 68. Some landmarks are
hidden and some are missing, so that whatever counts them shows. The app and the store have never
heard of these markups: what they know of them comes with the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from db import faces as stored_faces
from db import predictions, reads
from db.connection import open_reader
from db.maintenance import integrity
from drf import checkpoint
from drf.data import dataset
from drf.data.dataset import Face, Subset
from drf.data.synthetic_dataset import SyntheticDataset
from drf.errors import DataError
from drf.landmarks.markup import HIDDEN, MISSING, VISIBLE, Markup
from drf.scoring import scores
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import train_new_run
from tests.conftest import REPOSITORY
from tests.markups import FIVE, NINETY_EIGHT, points_of

SMALL = {
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 3,
    "data.synthetic_train_size": 24,
    "data.input_size": 32,
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.precision": "fp32",
}
TEST_FACES = 12


class MadeUp(SyntheticDataset):
    """The synthetic faces under another markup; every third lacks a landmark, every fourth has a
    hidden one, and one has no right eye."""

    def __init__(self, seed: int, size: int | None) -> None:
        super().__init__(seed, size)
        self.sizes = self.sizes | {"val": 8, "common": TEST_FACES}

    def fingerprint(self, name: str) -> str:
        return f"{self.name} {super().fingerprint(name)}"

    def subset(self, name: str) -> Subset:
        faces = [self._marked_up(i, face) for i, face in enumerate(super().subset(name).faces)]
        return Subset(self.name, name, tuple(faces))

    def _marked_up(self, number: int, face: Face) -> Face:
        points = points_of(self.markup, face.points.astype(np.float64)).astype(np.float32)
        visibility = np.full(len(points), VISIBLE, np.uint8)
        if number % 4 == 0:
            visibility[-1] = HIDDEN
        if number % 3 == 0:
            visibility[self.markup.displayed[1]] = MISSING
        if number == 5:
            visibility[self.markup.normalisers["ocular"][0][0]] = MISSING
        points[visibility == MISSING] = np.nan
        return Face(face.name, face.photo, points, visibility)

    def source(self, face: Face) -> bytes:
        points = np.nan_to_num(face.points, nan=-1e6).astype("<f4").tobytes()
        return points + super().source(face)

    def picture(self, face: Face) -> np.ndarray:
        return super().picture(face)

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        return (self.picture(face) for face in faces)


class Five(MadeUp):
    name, markup = "made-up-five", FIVE


class NinetyEight(MadeUp):
    name, markup = "made-up-wflw98", NINETY_EIGHT


@pytest.fixture(scope="module", params=[FIVE, NINETY_EIGHT], ids=["5 points", "98 points"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """(markup, store, runs): two families trained and evaluated on faces of a markup."""
    markup: Markup = request.param
    folder = tmp_path_factory.mktemp(markup.name)
    paths = Paths(folder / "drf.db", None, None, folder / "cache")
    runs = {}
    with pytest.MonkeyPatch.context() as patch:
        name = f"made-up-{markup.name}"
        cls = {FIVE: Five, NINETY_EIGHT: NinetyEight}[markup]
        patch.setitem(dataset.DATASETS, name, f"{__name__}:{cls.__name__}")
        for preset in ("cascade-forest", "mean-shape"):
            own = (
                SMALL
                if preset != "mean-shape"
                else {k: v for k, v in SMALL.items() if not k.startswith("model.")}
            )
            options = own | {"data.dataset": name}
            runs[preset] = train_new_run(Request(preset, options=options), paths).run
            evaluate_run(runs[preset], EvaluationSpec("common"), paths)
    return markup, paths.db, runs


def test_the_run_and_its_evaluation_carry_the_markup(made) -> None:
    markup, store, runs = made
    with contextlib.closing(open_reader(store)) as con:
        board = reads.leaderboard(con)
        assert set(board["markup"]) == {markup.name}
        assert reads.markup(con, markup.name) == markup
        assert reads.run(con, runs["cascade-forest"])["markup"] == markup.name
        assert not integrity.faults(con)
    model, _ = checkpoint.load_model(store.parent / runs["cascade-forest"] / checkpoint.BEST)
    assert model.spec.markup == markup


def test_what_is_missing_counts_nowhere(made) -> None:
    """Every stored error is that of the literal formula over the landmarks that are there."""
    markup, store, runs = made
    with contextlib.closing(open_reader(store)) as con:
        board = reads.leaderboard(con).set_index("run")
        row = board.loc[runs["cascade-forest"]]
        ids, truth, predicted = predictions.predictions(con, int(row["evaluation"]))
        stored = predictions.image_errors(con, int(row["evaluation"]))
        faces = {number: stored_faces.read_face(con, number) for number in ids.tolist()}
    assert np.isfinite(predicted).all()
    right, left = (ends[0] for ends in markup.normalisers["ocular"])
    everything = np.full(markup.n_points, VISIBLE)
    visibility = {  # nothing is stored of a face whose landmarks are all visible
        number: everything if face.visibility is None else face.visibility
        for number, face in faces.items()
    }
    expected = []
    for i, number in enumerate(ids.tolist()):
        there = [k for k in range(markup.n_points) if np.isfinite(truth[i, k]).all()]
        seen = visibility[number]
        assert there == [k for k in range(markup.n_points) if seen[k] != MISSING]
        distance = np.hypot(*(truth[i, right].astype(float) - truth[i, left]))
        apart = [np.hypot(*(predicted[i, k].astype(float) - truth[i, k])) for k in there]
        expected.append(sum(apart) / len(apart) / distance)
    np.testing.assert_allclose(stored["ocular"], expected, rtol=1e-6)
    assert np.isnan(expected).sum() == 1  # the face without a right eye
    assert np.isfinite(stored["box"]).all()
    assert row["ocular_nme"] == pytest.approx(100 * np.nanmean(expected))
    assert row["box_nme"] == pytest.approx(100 * stored["box"].mean())
    assert row["box_median"] == pytest.approx(100 * stored["box"].median())
    assert sum(int((seen == HIDDEN).sum()) for seen in visibility.values()) == 3


def test_every_page_shows_it(made, monkeypatch: pytest.MonkeyPatch) -> None:
    _, store, runs = made
    forest, floor = (runs[name][:8] for name in ("cascade-forest", "mean-shape"))
    monkeypatch.setenv("DRF_DB", str(store))
    pages = {
        None: {},
        "views/run.py": {"run": forest, "run_tab": "Results"},
        "views/images.py": {"img_runs": f"{forest},{floor}", "img_face": "common/00000"},
        "views/compare.py": {"cmp_runs": f"{forest},{floor}"},
    }
    for tab in ("Faces", "Training", "Forest", "Leaves", "Configuration"):
        pages[f"views/run.py#{tab}"] = {"run": forest, "run_tab": tab}
    for page, parameters in pages.items():
        for norm in ("Ocular", "Box"):
            app = AppTest.from_file(str(REPOSITORY / "webapp/app.py"), default_timeout=60)
            for key, value in (parameters | {"norm": norm}).items():
                app.query_params[key] = value
            if page is not None:
                app.switch_page(page.partition("#")[0])
            app.run()
            assert not app.exception, (page, app.exception)
            said = [element.value for element in (*app.error, *app.warning)]
            # The models are tiny, so that one shape for every face is no worse.
            faults = [v for v in said if "learned nothing" not in v and "Not ranked" not in v]
            assert not faults, (page, faults)


def test_it_is_exported(made, tmp_path: Path) -> None:
    """As pages and as a store of its own, by the command line, which has never heard of it."""
    markup, store, runs = made
    main = [sys.executable, "-c", "from cli.main import main; main()"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DRF_DB": str(store)}
    site, bundle = tmp_path / "site", tmp_path / "bundle.db"
    command = [*main, "export", "--static", str(site), "--bundle", str(bundle)]
    subprocess.run(command, env=environment, check=True, cwd=tmp_path)
    assert (site / "index.html").read_text().count("cascade-forest")
    with contextlib.closing(open_reader(bundle)) as con:
        assert reads.markup(con, markup.name) == markup
    listed = subprocess.run(
        [*main, "leaderboard", "--json"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows.keys() == runs.keys()
    for row in rows.values():
        assert row["markup"] == markup.name
        assert row["scores"].keys() == set(scores.NORMALISER_KEYS)
        assert all(row["scores"][norm]["nme"] > 0 for norm in scores.NORMALISER_KEYS)


def test_another_markup_of_the_same_name_is_refused(made, tmp_path: Path) -> None:
    """A name means one set of landmarks for all who read the store."""
    from db.connection import open_store
    from db.faces import store_markup
    from drf.errors import DrfError

    markup, store, _ = made
    other = replace(markup, titles={0: "somewhere else"})
    with (
        contextlib.closing(open_store(store)) as db,
        pytest.raises(DrfError, match="markup"),
    ):
        store_markup(db, other)
