"""Alignment, components and clusters: exact where they promise it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from drf.errors import UsageError
from drf.landmarks import geometry, shapes
from drf.landmarks.shapes import ShapeModel


def faces(n: int = 30, k: int = 12, seed: int = 0) -> np.ndarray:
    """A base shape and five modes of it, in a frame of about 100 px."""
    rng = np.random.default_rng(seed)
    base, modes = rng.normal(size=(k, 2)), rng.normal(size=(5, k, 2))
    return 50 + 20 * base + 2 * np.einsum("nm,mkc->nkc", rng.normal(size=(n, 5)), modes)


def similarity(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    a = np.deg2rad(degrees)
    c, s = scale * np.cos(a), scale * np.sin(a)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


@given(st.floats(0.1, 10), st.floats(-180, 180), st.tuples(st.floats(-99, 99), st.floats(-99, 99)))
def test_a_similarity_is_found_again(
    scale: float, degrees: float, shift: tuple[float, float]
) -> None:
    source, truth = faces(1), similarity(scale, degrees, shift)
    found = geometry.similarities(source, geometry.apply(truth, source))[0]
    assert np.allclose(found, truth, atol=1e-7)


def test_no_similarity_is_closer() -> None:
    source, target = faces(2)[:1], faces(2)[1:]
    best = geometry.similarities(source, target)
    error = ((geometry.apply(best, source) - target) ** 2).sum()
    rng = np.random.default_rng(0)
    for _ in range(50):
        c, s, x, y = 1e-3 * rng.normal(size=4)
        other = best + np.array([[c, -s, x], [s, c, y]])
        assert ((geometry.apply(other, source) - target) ** 2).sum() > error


def test_a_mirrored_face_is_not_reflected_back() -> None:
    source = faces(1)
    maps = geometry.similarities(source * [-1, 1], source)
    assert np.linalg.det(maps[0, :, :2]) > 0


def test_points_that_coincide_have_no_similarity() -> None:
    with pytest.raises(ValueError, match="coincide"):
        geometry.similarities(np.ones((1, 5, 2)), faces(1, 5))


def test_procrustes_takes_out_the_poses_and_gives_the_way_back() -> None:
    rng = np.random.default_rng(0)
    base = faces(1)[0]
    poses = [similarity(rng.uniform(0.8, 1.2), rng.uniform(-30, 30), (5, -3)) for _ in range(20)]
    posed = np.stack([geometry.apply(pose, base) for pose in poses])
    result = geometry.procrustes(posed)
    assert np.abs(result.shapes - result.mean).max() < 1e-9
    assert np.allclose(geometry.apply(geometry.invert(result.maps), result.shapes), posed)
    plain = posed.mean(axis=0)
    assert np.allclose(result.mean.mean(axis=0), plain.mean(axis=0))
    assert np.allclose(geometry.similarities(result.mean[None], plain), np.eye(2, 3), atol=1e-9)


def rebuilt(model: ShapeModel, known: np.ndarray) -> np.ndarray:
    """What is left of shapes: mean + sum_j b_j component_j of their coefficients b."""
    return model.mean + np.tensordot(model.project(known), model.components, axes=1)


def test_all_components_give_the_shapes_back_exactly() -> None:
    known = faces(30, 4)
    model = ShapeModel.fit(known, 8 - 3)  # five modes of variation
    assert np.allclose(rebuilt(model, known), known, atol=1e-10)
    flat = model.components.reshape(5, -1)
    assert np.allclose(flat @ flat.T, np.eye(5))
    assert np.allclose(model.variances, model.project(known).var(axis=0))
    assert (np.diff(model.variances) <= 0).all()


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 1000))
def test_fewer_components_leave_what_they_do_not_span(dims: int, seed: int) -> None:
    known = faces(seed=seed)
    model, full = ShapeModel.fit(known, dims), ShapeModel.fit(known, 5)
    lost = ((rebuilt(model, known) - known) ** 2).sum() / len(known)
    assert lost == pytest.approx(full.variances[dims:].sum(), rel=1e-9)


@pytest.mark.parametrize(("n", "dims"), [(30, 6), (30, 0), (3, 3)])
def test_more_components_than_the_data_have_are_refused(n: int, dims: int) -> None:
    with pytest.raises(UsageError, match=f"have {min(5, n - 1)} principal components, not {dims}"):
        ShapeModel.fit(faces(n), dims)


def test_equal_shapes_have_no_components() -> None:
    with pytest.raises(UsageError, match="have 0 principal components"):
        ShapeModel.fit(np.repeat(faces(1), 9, axis=0), 1)


def test_k_means_finds_clusters_that_are_there_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(6, size=300)
    rows = 100 * rng.normal(size=(6, 5))[truth] + rng.normal(size=(300, 5))
    result = shapes.k_means(rows, 6, seed=3)
    assert len(set(zip(truth, result.codes, strict=True))) == 6
    distance = ((rows[:, None] - result.centres) ** 2).sum(axis=-1)
    assert np.array_equal(result.codes, distance.argmin(axis=1))
    for code in range(6):
        assert np.allclose(result.centres[code], rows[result.codes == code].mean(axis=0))
    assert np.array_equal(result.centres, shapes.k_means(rows, 6, seed=3).centres)


@pytest.mark.parametrize(("n", "dims", "k"), [(200, 5, 6), (400, 136, 32), (40, 2, 30)])
@pytest.mark.filterwarnings("ignore:One of the clusters is empty")
def test_k_means_has_the_centres_of_scipy(n: int, dims: int, k: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, dims)) * np.linspace(2, 0.1, dims)
    expected, _ = kmeans2(rows, k, iter=30, minit="++", rng=np.random.default_rng(7))
    assert np.allclose(shapes.k_means(rows, k, seed=7).centres, expected, rtol=0, atol=1e-12)


def test_a_cluster_without_rows_keeps_its_centre() -> None:
    """No cluster is empty at first, but Lloyd's iterations can empty one, as the third of these."""
    rows = np.array([[1, 3, 0], [0, 5, 1], [3, 3, 3], [4, 0, 0], [5, 4, 5], [0, 4, 0]])
    result = shapes.k_means(rows, 3, seed=0)
    assert np.bincount(result.codes, minlength=3).tolist() == [3, 3, 0]
    assert np.isfinite(result.centres).all()
    assert len(np.unique(result.centres, axis=0)) == 3


def test_k_means_with_a_cluster_for_each_row_keeps_them_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(16, 2))
    result = shapes.k_means(rows, 16, seed=0)
    assert len(np.unique(result.centres, axis=0)) == 16
    for known in (rows, np.repeat(rows, 3, axis=0)):
        with pytest.raises(UsageError, match="17 leaves cannot start from 16 different faces"):
            shapes.k_means(known, 17, seed=0)


def test_correlation_as_the_formula() -> None:
    known = faces(20, 4)
    result = shapes.correlation(known)
    r = known - known.mean(axis=0)
    for a in range(4):
        for b in range(4):
            products = sum(float(r[i, a] @ r[i, b]) for i in range(20))
            norms = [sum(float(r[i, m] @ r[i, m]) for i in range(20)) ** 0.5 for m in (a, b)]
            assert result[a, b] == pytest.approx(products / (norms[0] * norms[1]))


def test_groups_are_the_landmarks_that_move_together_whatever_the_pose() -> None:
    rng = np.random.default_rng(0)
    base = 10 * rng.normal(size=(12, 2))
    group = np.arange(12) % 3
    moves = 0.5 * rng.normal(size=(200, 3, 2))
    moved = base + moves[:, group] + 0.02 * rng.normal(size=(200, 12, 2))
    poses = [similarity(rng.uniform(0.5, 2), rng.uniform(-40, 40), (9, 9)) for _ in range(200)]
    posed = np.stack([geometry.apply(m, p) for m, p in zip(poses, moved, strict=True)])
    found = shapes.correlation_groups(posed, 3)
    assert [g.tolist() for g in found] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


@pytest.mark.parametrize("n_groups", [1, 5, 12])
def test_groups_are_a_partition(n_groups: int) -> None:
    found = shapes.correlation_groups(faces(), n_groups)
    assert len(found) == n_groups
    assert sorted(np.concatenate(found).tolist()) == list(range(12))
    for bad in (0, 13):
        with pytest.raises(UsageError, match="12 landmarks form 1 to 12 groups"):
            shapes.correlation_groups(faces(), bad)
