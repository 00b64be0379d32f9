"""Maps between markups: where the landmarks of one are those of another."""

from __future__ import annotations

import numpy as np
import pytest

from drf.data.synthetic import face_points
from drf.errors import UsageError
from drf.landmarks import markup
from drf.landmarks.markup import CENTRES5, COFW29, IBUG68, MAPS, MARKUPS, WFLW98
from tests.markups import FIVE, points_of


@pytest.mark.parametrize(("source", "target"), MAPS)
def test_a_map_mirrors_with_the_face(source: str, target: str) -> None:
    """What is on the right of one markup is on the right of the other: a landmark's mirror image
    follows from the mirror images of the landmarks that it follows from."""
    of, theirs, ours = MAPS[source, target], MARKUPS[source].flip, MARKUPS[target].flip
    for landmark, among in of.items():
        assert set(of[ours[landmark]]) == {theirs[k] for k in among}
        assert len(set(among)) == len(among)
        assert max(among) < MARKUPS[source].n_points
    subset = markup.SHARED + source
    assert MARKUPS[target].indices(subset).tolist() == sorted(of)
    assert len(MARKUPS[target].flip_permutation(subset)) == len(of)


def test_faces_of_several_markups_agree_where_they_correspond() -> None:
    """tests/markups.py makes the landmarks of WFLW and COFW from iBUG's, without these maps."""
    ibug = np.stack([face_points("train", i, 0) for i in range(8)]).astype(np.float64)
    faces = {"ibug68": ibug, "centres5": points_of(FIVE, ibug)}
    faces |= {m.name: points_of(m, ibug) for m in (WFLW98, COFW29)}
    apart = np.linalg.norm(ibug[:, 36] - ibug[:, 45], axis=-1)[:, None]
    for (source, target), of in MAPS.items():
        n = MARKUPS[target].n_points
        found = markup.convert(faces[source], of, n)
        assert np.isfinite(found).all(axis=(0, 2)).nonzero()[0].tolist() == sorted(of)
        off = np.linalg.norm(found - faces[target], axis=-1)[:, sorted(of)] / apart
        assert off.max() < 0.06, (source, target)


@pytest.mark.parametrize(
    ("source", "target", "shared"),
    [("wflw98", "ibug68", 60), ("wflw98", "cofw29", 25), ("ibug68", "cofw29", 21)]
    + [(name, "centres5", 5) for name in ("ibug68", "wflw98", "cofw29")]
    + [("ibug68", "wflw98", 60), ("cofw29", "ibug68", 17)],
)
def test_the_number_of_landmarks_that_are_judged(source: str, target: str, shared: int) -> None:
    assert len(MAPS[source, target]) == shared


def test_other_names_of_subsets_are_refused() -> None:
    for name in ("shared-cofw", "shared-ibug68", "shared-"):
        with pytest.raises(UsageError, match="has no landmark subset"):
            IBUG68.indices(name)
    assert CENTRES5.indices("shared-wflw98").tolist() == [0, 1, 2, 3, 4]


def test_covariances_of_a_mean_are_those_of_its_landmarks_on_average() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(2, 68, 2, 2))
    found = markup.convert(given, MAPS["ibug68", "cofw29"], 29)
    np.testing.assert_allclose(found[:, 12], (given[:, 37] + given[:, 38]) / 2)
    np.testing.assert_array_equal(found[:, 28], given[:, 8])
    assert np.isnan(found[:, 16]).all()
