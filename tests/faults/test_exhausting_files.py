"""Files that would exhaust the machine cost one face each, in less than 1 GB of memory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.data.made_up import write_folder

FACES = 30
MOST_MB = 1000
"""Of a command that reads pictures, training included."""


def png(width: int, height: int, bits: int = 1, kind: int = 0) -> bytes:
    """A whole PNG without colour: black, and so a thousandth of the pixels that it holds."""
    row = bytes(1 + (width * bits * {0: 1, 2: 3}[kind] + 7) // 8)
    deflate = zlib.compressobj(1)
    pixels = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def sparse(path: Path, size: int) -> None:
    """A file that claims so many bytes, and takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)


def run(*arguments: object) -> tuple[int, int, str, str]:
    """Run `drf ARGUMENTS`; return exit code, peak in MB, stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.peak_memory", *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    *_, last = ended.stdout.splitlines()
    code, peak = map(int, last.split())
    return code, peak, ended.stdout.removesuffix(f"{last}\n"), ended.stderr


def faults_of(document: str) -> dict[str, Any]:
    subsets = json.loads(document)["subsets"][:2]
    return {
        kind: {name: why for subset in subsets for name, why in subset[kind].items()}
        for kind in ("unreadable", "malformed")
    }


def test_what_would_exhaust_the_machine_is_never_read(tmp_path: Path) -> None:
    """A PNG of 30,000 x 30,000 took 5.4 GB, /dev/zero under a picture's name 11 GB, a pipe for
    ever."""
    names = write_folder(tmp_path, "afw", FACES)
    pictures = [tmp_path / f"{name}.jpg" for name in names]
    labels = [tmp_path / f"{name}.pts" for name in names]
    for path in (*pictures[:8], *labels[8:15]):
        path.unlink()
    pictures[0].write_bytes(png(30_000, 30_000))
    pictures[1].write_bytes(png(9_999, 9_999, bits=16, kind=2))
    pictures[2].symlink_to("/dev/zero")
    labels[8].symlink_to("/dev/zero")
    os.mkfifo(pictures[3])
    os.mkfifo(labels[9])
    pictures[4].mkdir()
    labels[10].mkdir()
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    here = Path.cwd()
    os.chdir(tmp_path / "afw")  # the address of a socket is short
    for one, path in zip(sockets, (pictures[5], labels[11]), strict=True):
        one.bind(path.name)
    os.chdir(here)
    sparse(pictures[6], 2**40)
    sparse(labels[12], 2**30)
    pictures[7].symlink_to(pictures[7].name)  # leads back to itself
    labels[13].symlink_to(labels[13].name)
    labels[14].write_text("1 1\n" * 10**6)

    code, peak, out, err = run("data", "check", tmp_path, "--json")
    assert (code, err.count("\n")) == (4, 1), err
    found = faults_of(out)
    assert set(found["unreadable"]) == set(names[:8])
    assert set(found["malformed"]) == set(names[8:15])
    assert peak < 300
    code, peak, _, err = run(
        *("data", "pack", "--dataset", "300w", "--data-root", tmp_path),
        *("--cache", tmp_path / "cache"),
    )
    assert (code, err.count("\n")) == (2, 1), err
    assert "cannot be read (at most 1 % may be bad)" in err
    assert peak < 300


@pytest.mark.slow
def test_a_photo_of_81_million_pixels_is_predicted_and_drawn(tmp_path: Path) -> None:
    """Its overlay took 1.3 GB: a copy of the photo, and four of the face that fills it."""
    photo, boxed = tmp_path / "large.jpg", ("--box", "1000,1000,7000,7000")
    photo.write_bytes(cv2.imencode(".jpg", np.zeros((9_000, 9_000, 3), np.uint8))[1].tobytes())
    code, peak, _, err = run("predict", photo, *boxed, "--overlay", tmp_path / "drawn")
    print("predict --overlay", peak, "MB")
    assert code == 0, err
    assert peak < MOST_MB


@pytest.mark.slow
def test_the_largest_pictures_that_are_read_fit_into_memory(tmp_path: Path) -> None:
    """One large picture is in memory at a time, in the check, in packing and in training."""
    names = write_folder(tmp_path, "afw", FACES)
    large = (
        png(10_000, 9_990),  # 100 million pixels
        cv2.imencode(".jpg", np.zeros((9_000, 11_000, 3), np.uint8))[1].tobytes(),
        png(6_000, 6_000, bits=16, kind=2),
        cv2.imencode(
            ".jpg", np.zeros((6_000, 6_000, 3), np.uint8), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        )[1].tobytes(),
        cv2.imencode(".webp", np.zeros((9_000, 11_000, 3), np.uint8))[1].tobytes(),
        cv2.imencode(".tif", np.zeros((5_000, 5_000, 3), np.uint8))[1].tobytes(),
        *[cv2.imencode(".jpg", np.zeros((2_200, 2_200, 3), np.uint8))[1].tobytes()] * 6,
    )
    for name, data in zip(names, large, strict=False):
        (tmp_path / f"{name}.jpg").write_bytes(data)
    where = ("--data-root", tmp_path, "--cache", tmp_path / "cache")
    for arguments in (
        ("data", "check", tmp_path),
        ("data", "pack", "--dataset", "300w", *where),
        ("train", "mean-shape", "--dataset", "300w", *where, "--db", tmp_path / "drf.db"),
    ):
        if arguments[0] == "train":
            shutil.rmtree(tmp_path / "cache")
        code, peak, _, err = run(*arguments)
        print(*arguments[:2], peak, "MB")
        assert code in (0, 4), err  # the check finds that some files are the same
        assert peak < MOST_MB
