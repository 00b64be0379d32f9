"""The packed cache: every face of a subset as one square uint8 crop in a memory-mapped file.

Epochs read no JPEG, and memory holds the pages in use instead of the dataset. A pack's folder is
named after everything that its content depends on, so a pack that no longer fits is never found;
it appears by one rename, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drf import errors
from drf.data import boxes as box_protocols
from drf.data import crops, label_check
from drf.data.boxes import BOX_PROTOCOLS
from drf.data.dataset import (
    Dataset,
    Face,
    Subset,
    points_outside,
    refuse_if_too_many_bad,
)
from drf.data.user_files import read_bytes
from drf.errors import DataError, DrfError, UsageError, reason_of
from drf.files import path_of_variable, replacing_folder
from drf.landmarks import geometry
from drf.landmarks.markup import VISIBLE, Markup
from drf.scoring.results import Evaluation

PACK_SIZE = 256
"""Side of a packed crop, px."""

CONTEXT = 1.6
"""Side of a packed crop over the side of its box: room for augmentation to turn and shift in."""

JITTER_SEED = 0
"""Part of the protocol gt_jitter: everybody's jittered boxes are the same."""

FORMAT_VERSION = 2
"""Counts up whenever the same input would give a different pack."""

_DESCRIBED, _DIGEST = ("manifest.json", "markup.json", "faces.npz"), "sha256"
"""Files of a pack beside its crops, and the file with the digest over them."""

_MOST_BYTES = 2**30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pack:
    """The faces of one subset, cropped by one box protocol.

    names           n face names
    crops           (n, 256, 256, 3) uint8 RGB, memory-mapped, read-only
    markup          of the landmarks, K in number
    points          (n, K, 2) float32 landmarks in crop px; NaN where missing
    picture_points  (n, K, 2) float32 landmarks in 0-based picture px; NaN where missing
    visibility      (n, K) uint8, see `drf.landmarks.markup`; None where all landmarks are visible
    boxes           (n, 3) float64 boxes in picture px; a crop shows CONTEXT times its box
    to_picture      (n, 2, 3) float64 affine maps, crop px -> picture px
    manifest        dataset, markup (its name), subset, box, limit, faces, folders (faces per source
                    folder), skipped (name -> reason), points_outside (faces with a point outside
                    their picture),
                    box_file (digest, or None), crop_version (of the code that cropped) and digest
                    (over names, points and the bytes of the pictures' files)
    """

    names: tuple[str, ...]
    crops: np.ndarray
    markup: Markup
    points: np.ndarray
    picture_points: np.ndarray
    visibility: np.ndarray | None
    boxes: np.ndarray
    to_picture: np.ndarray
    manifest: dict[str, object]


def evaluation_on(
    faces: Pack,
    predictions: np.ndarray,
    *,
    landmarks: str,
    flip_test: bool,
    ms_per_face: float,
    covariances: np.ndarray | None = None,
    precision: str | None = None,
) -> Evaluation:
    """Return the evaluation of predictions of all faces of a pack; the arguments are its fields."""
    return Evaluation(
        dataset=str(faces.manifest["dataset"]),
        subset=str(faces.manifest["subset"]),
        names=faces.names,
        markup=faces.markup,
        landmarks=landmarks,
        ground_truth=faces.picture_points,
        predictions=predictions,
        box=str(faces.manifest["box"]),
        flip_test=flip_test,
        manifest=faces.manifest,
        ms_per_face=ms_per_face,
        visibility=faces.visibility,
        covariances=covariances,
        boxes=faces.boxes,
        precision=precision,
    )


def default_cache_dir() -> Path:
    """Return the folder of packs: DRF_CACHE, else runs/cache."""
    return path_of_variable("DRF_CACHE") or Path("runs/cache")


def pack(
    dataset: Dataset,
    subset_name: str,
    box: str = "gt",
    cache_dir: Path | None = None,
    *,
    box_file: Path | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pack:
    """Return a subset's packed crops, made now if they are not in the cache or do not fit any more.

    box: one of BOX_PROTOCOLS; box_file: the CSV file of protocol `file`. limit: only that many
    faces, the first by hash of their names. progress(done, total) is called while packing.

    Faces whose picture cannot be decoded are left out, with a warning and a line in the manifest.
    Raises DataError for a subset or a box file that cannot be used and where more than 1 % of the
    faces are unreadable, UsageError for options that do not fit, DrfError where the cache cannot be
    written.
    """
    _check_options(box, box_file, limit)
    request = _Request(dataset, subset_name, box, box_file, limit)
    folder = (cache_dir or default_cache_dir()) / request.folder_name()
    packed = load(folder)
    if packed is not None:  # it may be older than these checks
        request.checked_boxes(packed.names, packed.picture_points)
    else:
        _make(request, folder, progress)
        packed = load(folder)
        if packed is None:
            raise DrfError(f"the pack {folder} vanished while it was opened: run the command again")
    _warn(packed.manifest)
    return packed


def load(folder: Path) -> Pack | None:
    """Return the pack in a folder, or None if there is none or it is damaged.

    All but the pixels is compared with a digest, so that no byte of a damaged file is interpreted.
    """
    try:
        described = {name: read_bytes(folder / name, _MOST_BYTES) for name in _DESCRIBED}
        if read_bytes(folder / _DIGEST, _MOST_BYTES) != _digest(described):
            return None
        manifest = json.loads(described["manifest.json"])
        markup = Markup.from_dict(json.loads(described["markup.json"]))
        with np.load(io.BytesIO(described["faces.npz"])) as faces:
            names, points, boxes = faces["names"], faces["points"], faces["boxes"]
            visibility = faces.get("visibility")
        crops = _map_crops(folder / "crops.npy", len(names))
    except (DataError, OSError, ValueError, RecursionError):
        return None
    to_picture = geometry.crop_to_picture(_widened(boxes), PACK_SIZE)
    return Pack(
        names=tuple(names.tolist()),
        crops=crops,
        markup=markup,
        points=geometry.apply(geometry.invert(to_picture), points).astype(np.float32),
        picture_points=points,
        visibility=visibility,
        boxes=boxes,
        to_picture=to_picture,
        manifest=manifest,
    )


def _widened(boxes: np.ndarray) -> np.ndarray:
    return boxes * [1.0, 1.0, CONTEXT]


def _check_options(box: str, box_file: Path | None, limit: int | None) -> None:
    if box not in BOX_PROTOCOLS:
        raise UsageError(f"unknown box protocol {box!r}: use one of {', '.join(BOX_PROTOCOLS)}")
    if box == "file" and box_file is None:
        raise UsageError("box protocol 'file' needs a file of boxes: name it with --box-file")
    if box != "file" and box_file is not None:
        raise UsageError(f"a box file was named, but the box protocol is {box!r}: use 'file'")
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} leaves no faces: use 1 or more")


@dataclass(frozen=True)
class _Request:
    """What a pack is asked for."""

    dataset: Dataset
    subset_name: str
    box: str
    box_file: Path | None
    limit: int | None

    def slot(self) -> str:
        """Return what the pack is of: a newer pack of the same slot makes the older ones stale."""
        box_file = str(self.box_file and self.box_file.resolve())
        origin = hashlib.sha256(repr((self.dataset.origin, box_file, self.limit)).encode())
        return f"{self.dataset.name}-{self.subset_name}-{self.box}-{origin.hexdigest()[:8]}"

    def folder_name(self) -> str:
        """Return the slot and a digest of all that the pack's content depends on."""
        facts = (
            FORMAT_VERSION,
            self.dataset.fingerprint(self.subset_name),
            self.box,
            self.box_file_sha256(),
            self.limit,
            (CONTEXT, PACK_SIZE, JITTER_SEED),
        )
        return f"{self.slot()}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"

    def box_file_sha256(self) -> str | None:
        return box_protocols.box_file_sha256(self.box_file) if self.box_file else None

    def subset(self) -> Subset:
        """Return the subset, limited."""
        subset = self.dataset.subset(self.subset_name)
        by_hash = sorted(subset.faces, key=lambda face: hashlib.sha256(face.name.encode()).digest())
        chosen = {face.name for face in by_hash[: self.limit]}
        return replace(subset, faces=tuple(face for face in subset.faces if face.name in chosen))

    def checked_boxes(self, names: Sequence[str], points: np.ndarray) -> np.ndarray:
        """Return the (n, 3) boxes of the protocol for faces with these points, (n, K, 2).

        A few labels that are no face and boxes that miss theirs are warned of. Raises DataError for
        many, and as `read_box_file`.
        """
        what = f"subset {self.subset_name!r} of {self.dataset.name}"
        if warning := label_check.refuse_odd(names, points, self.dataset.markup, what):
            _log.warning("%s", warning)
        if self.box_file is not None:
            return box_protocols.read_box_file(self.box_file, names, self.dataset.has_face, points)
        boxes = box_protocols.gt_boxes(points)
        if self.box == "gt_jitter":
            return box_protocols.jitter_boxes(boxes, names, JITTER_SEED)
        return boxes


def _make(request: _Request, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    """Pack what was asked for into folder. Raises as `pack`."""
    subset = request.subset()
    points = np.stack([face.points for face in subset.faces])
    boxes = request.checked_boxes([face.name for face in subset.faces], points)

    def fill(target: Path) -> None:
        contents = write(request.dataset, subset, _widened(boxes), target / "crops.npy", progress)
        faces = [subset.faces[i] for i in contents.kept]
        np.savez(
            target / "faces.npz",
            names=np.array([face.name for face in faces]),
            points=np.stack([face.points for face in faces]),
            boxes=boxes[contents.kept],
            **_visibility(faces),  # type: ignore[arg-type]
        )
        definition = json.dumps(request.dataset.markup.as_dict())
        (target / "markup.json").write_text(definition, encoding="utf-8")
        manifest = _manifest(request, faces, contents)
        (target / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        described = {name: (target / name).read_bytes() for name in _DESCRIBED}
        (target / _DIGEST).write_bytes(_digest(described))

    what = f"packing {len(subset.faces)} faces of {request.subset_name} on the CPU"
    try:
        with errors.enough_memory(what, "pack fewer with data.max_train_faces"):
            publish(folder, request.slot(), fill, is_whole=lambda path: load(path) is not None)
    except OSError as error:
        megabytes = len(subset.faces) * PACK_SIZE**2 * 3 / 1e6
        raise DrfError(
            f"cannot write packed faces to {folder.parent} ({megabytes:.0f} MB):"
            f" {reason_of(error, folder.parent)}; --cache or DRF_CACHE names another folder"
        ) from None


def _visibility(faces: list[Face]) -> dict[str, np.ndarray]:
    """Return the array of visibilities by its name, nothing where all landmarks are visible."""
    if all(face.visibility is None for face in faces):
        return {}
    rows = [
        np.full(len(face.points), VISIBLE) if face.visibility is None else face.visibility
        for face in faces
    ]
    return {"visibility": np.stack(rows).astype(np.uint8)}


def _manifest(request: _Request, faces: list[Face], contents: Contents) -> dict[str, object]:
    return {
        "dataset": request.dataset.name,
        "markup": request.dataset.markup.name,
        "subset": request.subset_name,
        "box": request.box,
        "limit": request.limit,
        "box_file": request.box_file_sha256(),
        "crop_version": FORMAT_VERSION,
        "faces": len(faces),
        "folders": dict(Counter(face.name.rpartition("/")[0] for face in faces)),
        "skipped": contents.skipped,
        "points_outside": contents.n_outside,
        "digest": contents.digest,
    }


def _warn(manifest: dict[str, object]) -> None:
    what = f"{manifest['dataset']} {manifest['subset']}"
    skipped = manifest["skipped"]
    assert isinstance(skipped, dict)
    if skipped:
        name, reason = next(iter(skipped.items()))
        total = len(skipped) + int(str(manifest["faces"]))
        _log.warning(
            "%s: %d of %d faces skipped, first %s: %s", what, len(skipped), total, name, reason
        )
    if manifest["points_outside"]:
        _log.warning(
            "%s: %s faces have points outside their picture (kept)",
            what,
            manifest["points_outside"],
        )


def _digest(described: dict[str, bytes]) -> bytes:
    parts = [(name, hashlib.sha256(data).hexdigest()) for name, data in described.items()]
    return hashlib.sha256(repr(parts).encode()).hexdigest().encode()


@dataclass(frozen=True)
class Contents:
    """What was written: which faces of the subset, and what the manifest says of the others."""

    kept: list[int]
    skipped: dict[str, str]
    n_outside: int
    digest: str


def write(
    dataset: Dataset,
    subset: Subset,
    boxes: np.ndarray,
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> Contents:
    """Write the crops of a subset as one .npy file of (n, 256, 256, 3) uint8.

    boxes: (n, 3) crops in picture px, one per face of the subset. Raises DataError where more than
    1 % of the faces cannot be read, OSError where the file cannot be written.
    """
    kept: list[int] = []
    skipped = dict(subset.skipped)
    n_outside = 0
    digest = hashlib.sha256()
    total = len(subset.faces)
    # Through write(), not a memory map: dirty pages of a map count as this process's memory.
    with path.open("wb") as file:
        _write_header(file, total)
        pictures = dataset.pictures(subset.faces)
        for i, face in enumerate(subset.faces):
            try:
                # No name for the picture: it must be gone before the next is decoded.
                crop, outside = _crop(face, boxes[i], next(pictures))
                source = hashlib.sha256(dataset.source(face)).digest()
            except DataError as error:
                skipped[face.name] = str(error)
            else:
                file.write(crop.data)
                kept.append(i)
                n_outside += outside
                digest.update(face.name.encode() + b"\0" + source)
            if progress is not None:
                progress(i + 1, total)
        refuse_if_too_many_bad(f"subset {subset.name!r} of {subset.dataset}", len(kept), skipped)
        file.seek(0)
        _write_header(file, len(kept))
    return Contents(kept, skipped, n_outside, digest.hexdigest())


def _crop(face: Face, box: np.ndarray, picture: np.ndarray | DataError) -> tuple[np.ndarray, bool]:
    """Return the crop of a face, and whether a point lies outside its picture."""
    if isinstance(picture, DataError):
        raise picture
    return crops.cut(picture, box, PACK_SIZE), bool(points_outside(face.points, picture).any())


def publish(
    folder: Path, slot: str, fill: Callable[[Path], None], is_whole: Callable[[Path], bool]
) -> None:
    """Make a folder appear at once, filled; then remove the other folders named `slot`-*.

    fill(path) writes the content, is_whole(path) says whether another process's is good. Of several
    processes that fill at once, the first to finish counts. Raises what fill raises, and OSError.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder, keep=is_whole) as filled:
        fill(filled)
    for other in parent.glob(f"{slot}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _write_header(file: BinaryIO, n: int) -> None:
    """Write the .npy header of n crops; its length does not depend on n (numpy pads it)."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, PACK_SIZE, PACK_SIZE, 3)}
    np.lib.format.write_array_header_1_0(file, header)


def _map_crops(path: Path, n: int) -> np.ndarray:
    """Return the n crops that `write` wrote, memory-mapped. Raises DataError for another file,
    OSError for none."""
    header = io.BytesIO()
    _write_header(header, n)
    start = header.tell()
    if path.stat().st_size != start + n * PACK_SIZE**2 * 3:
        raise DataError(f"{path.name} is cut off")
    with path.open("rb") as file:
        if file.read(start) != header.getvalue():
            raise DataError(f"the header of {path.name} is damaged")
    return np.memmap(path, np.uint8, "r", start, (n, PACK_SIZE, PACK_SIZE, 3))
