import json
import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from drf.data.boxes import gt_boxes, jitter_boxes
from drf.data.packs import CONTEXT, JITTER_SEED, PACK_SIZE, default_cache_dir, load, pack
from drf.data.synthetic_dataset import SyntheticDataset
from drf.data.w300 import W300, in_val, photo_of
from drf.errors import DataError, DrfError
from drf.landmarks import geometry
from tests.data.made_up import points_of, pts_text, write_face, write_folder

N = 30


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "faces"
    write_folder(root, "afw", N)
    return root


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def train_names(root: Path) -> list[str]:
    names = sorted(f"afw/{path.stem}" for path in (root / "afw").glob("*.pts"))
    return [name for name in names if not in_val(photo_of(name))]


# --- what a pack holds


def test_a_pack_holds_every_face_with_its_points_and_maps(root, cache):
    packed = pack(W300(root), "train", "gt", cache)
    assert list(packed.names) == train_names(root)
    assert isinstance(packed.crops, np.memmap)
    assert packed.crops.shape == (len(packed.names), PACK_SIZE, PACK_SIZE, 3)
    assert packed.crops.dtype == np.uint8
    truth = np.stack([points_of(name) for name in packed.names]).astype(np.float32)
    np.testing.assert_array_equal(packed.picture_points, truth)
    np.testing.assert_allclose(packed.boxes, gt_boxes(truth))
    np.testing.assert_allclose(
        geometry.apply(packed.to_picture, packed.points.astype(float)), truth, atol=1e-4
    )


def test_the_box_is_centred_in_the_crop_and_the_context_around_it(root, cache):
    packed = pack(W300(root), "train", "gt", cache)
    corners = np.stack([packed.boxes[:, :2] - packed.boxes[:, 2:] / 2] * 2, axis=1)
    corners[:, 1] += packed.boxes[:, 2:]
    in_unit = geometry.to_unit(
        geometry.apply(geometry.invert(packed.to_picture), corners), PACK_SIZE
    )
    margin = (1 - 1 / CONTEXT) / 2
    np.testing.assert_allclose(in_unit[:, 0], margin, atol=1e-9)
    np.testing.assert_allclose(in_unit[:, 1], 1 - margin, atol=1e-9)


def test_crops_show_their_pictures(root, cache):
    """Every crop pixel inside the picture is near the picture's at the place that its map names."""
    dataset = W300(root)
    packed = pack(dataset, "train", "gt", cache)
    faces = dataset.subset("train").faces
    for crop, to_picture, face in zip(packed.crops, packed.to_picture, faces, strict=True):
        picture = dataset.picture(face).astype(int)
        v, u = np.mgrid[:PACK_SIZE:7, :PACK_SIZE:7]
        where = np.rint(geometry.apply(to_picture, np.stack([u, v], -1).reshape(-1, 2))).astype(int)
        inside = ((where >= 0) & (where < picture.shape[0])).all(axis=1)
        x, y = where[inside].T
        difference = crop[::7, ::7].reshape(-1, 3)[inside] - picture[y, x]
        assert np.abs(difference).mean() < 12  # swapped channels or axes make it 60


def test_the_manifest_tells_what_was_packed_and_no_path(root, cache):
    packed = pack(W300(root), "train", "gt", cache)
    manifest = packed.manifest
    assert {key: manifest[key] for key in ("dataset", "subset", "box", "limit")} == {
        "dataset": "300w",
        "subset": "train",
        "box": "gt",
        "limit": None,
    }
    assert manifest["faces"] == len(packed.names)
    assert manifest["folders"] == {"afw": len(packed.names)}
    assert manifest["skipped"] == {}
    assert str(root.parent) not in json.dumps(manifest)


def test_the_digest_is_of_the_faces_not_of_their_boxes_or_their_place(root, cache, tmp_path):
    digest = pack(W300(root), "train", "gt", cache).manifest["digest"]
    assert pack(W300(root), "train", "gt_jitter", cache).manifest["digest"] == digest
    moved = root.rename(tmp_path / "elsewhere")
    assert pack(W300(moved), "train", "gt", cache).manifest["digest"] == digest
    write_face(moved, train_names(moved)[0], suffix=".png")
    assert pack(W300(moved), "train", "gt", cache).manifest["digest"] != digest


def test_boxes_follow_their_protocol(root, cache, tmp_path):
    dataset = W300(root)
    gt = pack(dataset, "train", "gt", cache)
    jittered = pack(dataset, "train", "gt_jitter", cache)
    np.testing.assert_array_equal(jittered.boxes, jitter_boxes(gt.boxes, gt.names, JITTER_SEED))
    rows = [f"{name},8,9,34,34" for name in (*gt.names, *_names(dataset, "val"))]
    box_file = tmp_path / "boxes.csv"
    box_file.write_text("\n".join(["name,x,y,w,h", *rows]))
    from_file = pack(dataset, "train", "file", cache, box_file=box_file)
    np.testing.assert_array_equal(from_file.boxes, np.tile([25.0, 26, 34], (len(gt.names), 1)))
    box_file.write_text(box_file.read_text().replace(",8,9,34,34", ",9,10,32,32"))
    assert pack(dataset, "train", "file", cache, box_file=box_file).boxes[0, 2] == 32


def _names(dataset, subset) -> list[str]:
    return [face.name for face in dataset.subset(subset).faces]


def test_a_limit_takes_the_same_faces_whatever_its_size(root, cache):
    few = pack(W300(root), "train", "gt", cache, limit=5).names
    more = pack(W300(root), "train", "gt", cache, limit=12).names
    every = pack(W300(root), "train", "gt", cache, limit=10**6).names
    assert len(few) == 5
    assert len(more) == 12
    assert set(few) < set(more) < set(every)
    assert list(every) == train_names(root)
    assert few != every[:5]  # by hash, so that not all come from the first folder


def test_progress_counts_faces(root, cache):
    seen: list[tuple[int, int]] = []
    packed = pack(W300(root), "train", "gt", cache, progress=lambda *at: seen.append(at))
    n = len(packed.names)
    assert seen == [(i + 1, n) for i in range(n)]


# --- bad faces


def test_a_face_that_cannot_be_decoded_is_left_out_with_a_warning(root, cache, caplog):
    write_folder(root, "helen/trainset", 150)
    bad = f"{train_names(root)[2]}"
    path = root / f"{bad}.jpg"
    path.write_bytes(path.read_bytes()[:200])
    for _ in range(2):  # when packed, and when found in the cache
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            packed = pack(W300(root), "train", "gt", cache)
        reason = f"{path.name} is truncated or not a picture"
        assert packed.manifest["skipped"] == {bad: reason}
        assert bad not in packed.names
        assert len(packed.crops) == len(packed.names) == packed.manifest["faces"]
        (record,) = caplog.records
        total = len(packed.names) + 1
        assert record.getMessage() == (
            f"300w train: 1 of {total} faces skipped, first {bad}: {reason}"
        )


def test_more_than_one_percent_is_an_error_and_leaves_nothing(root, cache):
    for name in train_names(root)[:2]:  # a single bad face is never too many
        (root / f"{name}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of the \d+ faces of subset 'train'"):
        pack(W300(root), "train", "gt", cache)
    assert list(cache.iterdir()) == []


def test_points_outside_the_picture_are_kept_with_a_warning(root, cache, caplog):
    name = train_names(root)[0]
    points = points_of(name)
    points[3] = -7.5, 12
    (root / f"{name}.pts").write_text(pts_text(points))
    with caplog.at_level(logging.WARNING):
        packed = pack(W300(root), "train", "gt", cache)
    assert packed.manifest["points_outside"] == 1
    assert packed.picture_points[0, 3].tolist() == [-7.5, 12]
    assert "1 faces have points outside their picture" in caplog.text


# --- what is found again, and what is not


def made_at(cache: Path) -> dict[str, int]:
    return {path.name: (path / "crops.npy").stat().st_mtime_ns for path in cache.iterdir()}


def test_an_unchanged_subset_is_packed_once(root, cache):
    pack(W300(root), "train", "gt", cache)
    first = made_at(cache)
    pack(W300(root), "train", "gt", cache)
    assert made_at(cache) == first


def test_a_changed_file_makes_a_new_pack_and_removes_the_stale_one(root, cache):
    name = train_names(root)[0]
    pack(W300(root), "train", "gt", cache)
    pack(W300(root), "val", "gt", cache)
    before = set(made_at(cache))
    (root / f"{name}.pts").write_text(pts_text(points_of("another")))
    packed = pack(W300(root), "train", "gt", cache)
    np.testing.assert_array_equal(packed.picture_points[0], points_of("another").astype(np.float32))
    after = set(made_at(cache))
    assert len(before & after) == 1  # val stays
    assert len(after) == 2


@pytest.mark.parametrize(
    "damaged", ["crops.npy", "faces.npz", "manifest.json", "markup.json", "sha256"]
)
@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_a_damaged_pack_is_made_again(root, cache, damaged, damage):
    crops = np.array(pack(W300(root), "train", "gt", cache).crops)
    (folder,) = cache.iterdir()
    path = folder / damaged
    if damage == "removed":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 if damage == "cut" else 0)
    assert load(folder) is None
    np.testing.assert_array_equal(pack(W300(root), "train", "gt", cache).crops, crops)
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_a_packing_that_fails_leaves_nothing(root, cache, monkeypatch):
    def stop(done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(W300(root), "train", "gt", cache, progress=stop)
    assert list(cache.iterdir()) == []


def command(root: Path, cache: Path, *limit: int) -> list[str]:
    return [sys.executable, "-m", "tests.data.packing_process", *map(str, (root, cache, *limit))]


def test_a_killed_packing_is_never_taken_for_a_pack(root, cache):
    write_folder(root, "helen/trainset", 600)
    process = subprocess.Popen(command(root, cache))
    while not list(cache.glob(".drf-unfinished-*/filled/crops.npy")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    (left,) = cache.iterdir()
    packed = pack(W300(root), "train", "gt", cache)
    assert len(packed.names) > 500
    assert not left.exists()  # the next packing clears up


def test_two_processes_may_pack_the_same_at_once(root, cache):
    write_folder(root, "helen/trainset", 150)
    processes = [
        subprocess.Popen(command(root, cache), stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    outputs = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({digest for _, digest in outputs}) == 1
    (folder,) = cache.iterdir()
    assert load(folder) is not None


def test_memory_does_not_grow_with_the_faces(root, cache):
    write_folder(root, "helen/trainset", 900)
    peaks_mb = []
    for limit in (50, 800):
        output = subprocess.check_output(command(root, cache, limit), text=True)
        peaks_mb.append(float(output.split()[0]))
    assert peaks_mb[1] - peaks_mb[0] < 0.25 * 750 * PACK_SIZE**2 * 3 / 2**20


# --- where the cache cannot be written


def test_a_cache_that_cannot_be_made_is_told_in_one_sentence(root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DrfError, match=r"cannot write packed faces to .*DRF_CACHE") as caught:
        pack(W300(root), "train", "gt", tmp_path / "file/cache")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(root, cache):
    """A limit on the size of files stands in for the full disk: write() fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(
            DrfError, match=r"cannot write packed faces .*6 MB.*larger than the file"
        ):
            pack(W300(root), "train", "gt", cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(cache.iterdir()) == []


def test_the_default_cache_follows_the_variable(monkeypatch):
    monkeypatch.delenv("DRF_CACHE", raising=False)
    assert default_cache_dir() == Path("runs/cache")
    monkeypatch.setenv("DRF_CACHE", "/somewhere")
    assert default_cache_dir() == Path("/somewhere")


# --- synthetic faces


def test_synthetic_faces_pack_like_any_other(cache):
    dataset = SyntheticDataset(seed=3, size=40)  # enough for two processes
    packed = pack(dataset, "train", "gt", cache)
    assert packed.names == tuple(f"train/{i:05d}" for i in range(40))
    again = SyntheticDataset(seed=3, size=20)  # rendered in this process
    np.testing.assert_array_equal(pack(again, "train", "gt", cache).crops, packed.crops[:20])
    other = pack(SyntheticDataset(seed=4, size=20), "train", "gt", cache)
    assert other.manifest["digest"] != packed.manifest["digest"]
