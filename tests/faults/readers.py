"""The readers of pictures, labels, configurations, and of the files that drf writes, each with a
valid file."""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from db.connection import open_store
from drf.errors import DrfError
from tests.data.made_up import picture_of, points_of, pts_text, write_folder


@dataclass(frozen=True)
class Reader:
    """file: the name of the file that is damaged · make(folder) writes it whole, with what else
    belongs to it · read(folder) reads it, as a command would."""

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


def _picture(suffix: str, *options: int) -> Reader:
    """Pictures are read as `data check` and `data pack` do: decoded, and the face cut out."""
    from drf.data.crops import cut
    from drf.data.picture_files import decode_picture

    name = f"face{suffix}"

    def make(folder: Path) -> None:
        encoded = cv2.imencode(suffix, picture_of("any")[..., ::-1], options)[1]
        (folder / name).write_bytes(encoded.tobytes())

    def read(folder: Path) -> None:
        picture = decode_picture(folder / name)
        assert picture.dtype == np.uint8
        assert cut(picture, np.array([20.0, 20.0, 30.0]), 64).shape == (64, 64, 3)

    return Reader(name, make, read)


def _crop() -> Reader:
    from drf.data.crops import decode_jpeg, encode_jpeg

    return Reader(
        "crop",
        lambda folder: (folder / "crop").write_bytes(encode_jpeg(picture_of("any"))),
        lambda folder: decode_jpeg((folder / "crop").read_bytes()),
    )


def _pts() -> Reader:
    from drf.data.boxes import gt_boxes
    from drf.data.label_check import fault
    from drf.data.pts import read_pts
    from drf.landmarks.markup import IBUG68

    def read(folder: Path) -> None:
        points = read_pts(folder / "face.pts")
        assert np.isfinite(gt_boxes(points[None])).all()
        fault(points, IBUG68)

    text = pts_text(points_of("any"))
    return Reader("face.pts", lambda folder: (folder / "face.pts").write_text(text), read)


def _boxes() -> Reader:
    from drf.data.boxes import read_box_file

    names = [f"afw/{i}" for i in range(30)]
    points = np.stack([points_of(name) for name in names])
    low, high = points.min(axis=1), points.max(axis=1)
    rows = [
        ",".join([name, *map(str, box)])
        for name, box in zip(names, np.hstack([low, high - low]).round(3).tolist(), strict=True)
    ]
    text = "\n".join(["name,x,y,w,h", *rows])

    def read(folder: Path) -> None:
        found = read_box_file(folder / "boxes.csv", names, points=points)
        assert np.isfinite(found).all()

    return Reader("boxes.csv", lambda folder: (folder / "boxes.csv").write_text(text), read)


def _configuration() -> Reader:
    from experiments.request import Request, configure

    text = """
# A configuration as users write it.
[training]
lr = 3e-3
epochs = 12
optimiser = "muon"
deterministic = true
[data]
input_size = 96
landmarks = "eyes"
[augment]
rotation = 12.5
"""

    def read(folder: Path) -> None:
        configure(Request("cnn-heatmap", folder / "keys.toml"))

    return Reader("keys.toml", lambda folder: (folder / "keys.toml").write_text(text), read)


def _pack(file: str) -> Reader:
    """A pack is read, and made anew where it is damaged."""
    from drf.data.packs import load, pack
    from drf.data.w300 import W300

    def make(folder: Path) -> None:
        write_folder(folder / "faces", "afw", 4)
        pack(W300(folder / "faces"), "train", cache_dir=folder)
        (packed,) = (path for path in folder.iterdir() if path.name != "faces")
        packed.rename(folder / "pack")

    def read(folder: Path) -> None:
        packed = load(folder / "pack")
        if packed is None:
            raise DrfError("it is made anew")
        assert packed.manifest["faces"] == len(packed.names) == len(packed.crops)
        assert packed.points.shape == (len(packed.names), packed.markup.n_points, 2)
        packed.crops.sum()

    return Reader(f"pack/{file}", make, read)


def _checkpoint() -> Reader:
    from drf import checkpoint, registry
    from drf.landmarks.markup import IBUG68
    from experiments.request import Request, configure

    name = checkpoint.BEST

    def make(folder: Path) -> None:
        config = configure(Request("mean-shape")).config
        model = registry.build(config, IBUG68)
        tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
        checkpoint.save(folder / name, tensors, checkpoint.describe(config, IBUG68))

    return Reader(name, make, lambda folder: checkpoint.load_model(folder / name))


def _origin() -> Reader:
    from experiments.paths import Paths, origin, write_origin

    paths = Paths(Path("drf.db"), Path("faces"), Path("boxes.csv"), None)
    nothing = Paths(Path("drf.db"), None, None, None)
    return Reader(
        "origin.json",
        lambda folder: write_origin(folder, paths),
        lambda folder: origin(folder, nothing),
    )


def _marker() -> Reader:
    from webapp.static_site.folder import MARKER, replaced

    def make(folder: Path) -> None:
        with replaced(folder / "site", {"runs": 1}) as unfinished:
            (unfinished / "index.html").write_text("a board")

    def read(folder: Path) -> None:
        with replaced(folder / "site", {"runs": 1}) as unfinished:
            (unfinished / "index.html").write_text("a board")

    return Reader(f"site/{MARKER}", make, read)


def _store() -> Reader:
    """Pages of the store's file."""

    def read(folder: Path) -> None:
        commands = ("leaderboard", "db check")
        all_of([drf(*command.split(), "--db", folder / "drf.db") for command in commands])

    return Reader("drf.db", _make_store, read)


def _bundle() -> Reader:
    """A bundle that somebody sent, exported once more."""

    def make(folder: Path) -> None:
        _make_store(folder)
        drf("export", "--bundle", folder / "bundle.db", "--db", folder / "drf.db")

    def read(folder: Path) -> None:
        (folder / "again.db").unlink(missing_ok=True)
        all_of([drf("export", "--bundle", folder / "again.db", "--db", folder / "bundle.db")])

    return Reader("bundle.db", make, read)


def _imported_bundle() -> Reader:
    """A bundle that somebody sent, brought into a store that has other runs."""

    def make(folder: Path) -> None:
        _bundle().make(folder)
        for path in folder.glob("drf.db*"):
            path.unlink()
        open_store(folder / "mine.db").close()

    def read(folder: Path) -> None:
        shutil.copy(folder / "mine.db", folder / "again.db")
        all_of([drf("import", "bundle", folder / "bundle.db", "--db", folder / "again.db")])

    return Reader("bundle.db", make, read)


def _arrays() -> Reader:
    """One of the store's arrays, in a file that is sound: its bytes lie beside the store."""
    chosen = "FROM predictions ORDER BY evaluation, face LIMIT 1"

    def make(folder: Path) -> None:
        _make_store(folder)
        with contextlib.closing(sqlite3.connect(folder / "drf.db")) as con:
            (blob,) = con.execute(f"SELECT prediction {chosen}").fetchone()
        (folder / "blob").write_bytes(blob)

    def read(folder: Path) -> None:
        with contextlib.closing(sqlite3.connect(folder / "drf.db")) as con, con:
            con.execute("PRAGMA ignore_check_constraints = ON")
            con.execute(
                "UPDATE predictions SET prediction = ? WHERE (evaluation, face) ="
                f" (SELECT evaluation, face {chosen})",
                [(folder / "blob").read_bytes()],
            )
        (folder / "again.db").unlink(missing_ok=True)
        check = drf("db", "check", "--db", folder / "drf.db")
        all_of([check, drf("export", "--bundle", folder / "again.db", "--db", folder / "drf.db")])

    return Reader("blob", make, read)


def _make_store(folder: Path) -> None:
    """Fill a store, and bring its log into its file."""
    from tests.db.examples import filled_store

    filled_store(folder / "drf.db")
    with contextlib.closing(sqlite3.connect(folder / "drf.db")) as con:
        con.execute("PRAGMA journal_mode = DELETE")


def drf(*words: object) -> int:
    """Run `drf WORDS` in this process, and return its exit code; a traceback is raised."""
    import cli.main

    sys.argv = ["drf", *map(str, words)]
    silent = io.StringIO()
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            cli.main.main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def all_of(exit_codes: list[int]) -> None:
    """Raise DrfError where a command refused its file."""
    if any(exit_codes):
        raise DrfError(f"exit codes {exit_codes}")


def own_readers() -> dict[str, Reader]:
    return {
        "jpeg": _picture(".jpg"),
        "progressive jpeg": _picture(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "png": _picture(".png"),
        "webp": _picture(".webp"),
        "bmp": _picture(".bmp"),
        "tiff": _picture(".tif"),
        "gif": _picture(".gif"),
        "stored crop": _crop(),
        "pts": _pts(),
        "boxes": _boxes(),
        "configuration": _configuration(),
        **{f"pack: {file}": _pack(file) for file in PACK_FILES},
        "checkpoint": _checkpoint(),
        "origin of a run": _origin(),
        "marker of an export": _marker(),
        "store": _store(),
        "bundle": _bundle(),
        "bundle, imported": _imported_bundle(),
        "arrays of the store": _arrays(),
    }


PACK_FILES = ("crops.npy", "faces.npz", "manifest.json", "markup.json", "sha256")
