"""What users of such tools reported of terminals, options, paths and messages, tried on every
command. Each docstring names the thread where somebody met the situation.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

import cli.main
from db.connection import open_reader, open_store
from db.recording import saved_links
from drf import checkpoint, hardware
from drf.data.dataset import Source
from drf.data.packs import default_cache_dir
from drf.errors import (
    DrfError,
    StoreError,
    UsageError,
    enough_memory,
    explain_os_error,
    is_out_of_memory,
)
from drf.files import user_path
from drf.models.mean_shape import MeanShape
from drf.text import UNPRINTABLE, printable
from tests.conftest import REPOSITORY
from tests.db.examples import add_finished_run, filled_store

AWKWARD = (
    *("Müller", "北京 モデル", "🙂 emoji", "esc\x1b[31mred\x07", "cr\rover", "new\nline", "a\tb"),
    *("bidi \u202egnp.exe", "\x9b31m", "[/red] [bold]x[/bold] :smile:", "−—…“", "two", "two"),
)
ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8")
TINY = ("--set", "data.synthetic_train_size=10", "--name", AWKWARD[3])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of runs and views that have awkward names, one run with its folder."""
    folder = tmp_path_factory.mktemp("awkward")
    filled_store(folder / "drf.db")
    store = open_store(folder / "drf.db")
    for name in AWKWARD:
        add_finished_run(store, name=name, error_px=3.0)
    external = {"family": "external", "params": 0, "macs": 0}  # remarks below the boards name it
    add_finished_run(store, name=f"{AWKWARD[9]} {AWKWARD[3]}", **external)
    saved_links.add_view(
        store, "kept", f"run?run={AWKWARD[3]}&lb_text={AWKWARD[7]}".replace("\x1b", "%1b")
    )
    store.close()
    return folder


@dataclass(frozen=True)
class Said:
    """What a command wrote, as bytes of an encoding, and its exit code."""

    code: int
    out: bytes
    err: bytes
    encoding: str

    @property
    def text(self) -> str:
        return self.out.decode(self.encoding)

    @property
    def error(self) -> str:
        return self.err.decode(self.encoding)


Call = Callable[..., Said]


@pytest.fixture
def drf(
    made: Path, tmp_path: Path, few_faces: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Call]:
    """Run `drf ARGUMENTS` in this process, on a copy of the store, into streams of an encoding that
    refuse whatever it does not have, as those of Python do."""
    for file in made.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DRF_DATA", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, encoding: str = "utf-8") -> Said:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["drf", *map(str, arguments)])
            patch.setattr("sys.stdout", streams[0])
            patch.setattr("sys.stderr", streams[1])
            with pytest.raises(SystemExit) as ended:
                cli.main.main()
            for stream in streams:
                stream.flush()
        out, err = (stream.buffer.getvalue() for stream in streams)  # type: ignore[attr-defined]
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, out, err, encoding)

    return call


def leaves(command: Any = None, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command of the app; a group of others only where it does something by itself."""
    command = command or typer.main.get_command(cli.main.app)
    if not hasattr(command, "commands"):
        return {words: command}
    found = [leaves(child, (*words, name)) for name, child in command.commands.items()]
    itself = [{words: command}] if command.invoke_without_command else []
    return {name: leaf for one in itself + found for name, leaf in one.items()}


COMMANDS = leaves()
EXAMPLES: dict[tuple[str, ...], list[tuple[int, tuple[str, ...]]]] = {
    ("train",): [(0, ("--list",)), (0, ("--keys",)), (0, ("mean-shape", *TINY))],
    ("eval",): [(3, (AWKWARD[3],)), (3, ("two",))],
    ("bench",): [(3, (AWKWARD[3],)), (3, ("two",)), (2, ())],
    ("ensemble",): [(3, (AWKWARD[3], "two", "--name", "\x1b")), (2, ("--name", "a"))],
    ("data", "check"): [(2, ("no\x1bfolder",))],
    ("data", "sheet"): [(0, ("--dataset", "synthetic", "--max-faces", "2", "--out", "\x1b.png"))],
    ("data", "boxes"): [(2, ("no\x1bfile", "--out", "boxes.csv"))],
    ("data", "prepare"): [(0, ("wflw",)), (2, ("wflw", "--from", "no\x1bfile.zip"))],
    ("data", "pack"): [(0, ("--subset", "val", "--max-faces", "2"))],
    ("leaderboard",): [
        *((0, ()), (0, ("--methods",))),
        *((0, ("--dataset", "none\x1b")), (2, ("--since", "\x1b"))),
    ],
    ("runs", "list"): [(0, ())],
    ("runs", "show"): [(0, (AWKWARD[3],)), (3, ("two",)), (3, ("esc",))],
    ("runs", "diff"): [(0, (AWKWARD[1], AWKWARD[4]))],
    ("runs", "note"): [
        (0, (AWKWARD[1], AWKWARD[1], "--by", AWKWARD[2])),
        (2, (AWKWARD[1], AWKWARD[3])),
        (0, (AWKWARD[1], "--remove")),
    ],
    ("runs", "tag"): [(0, (AWKWARD[1], AWKWARD[0])), (2, (AWKWARD[1], AWKWARD[3]))],
    ("runs", "star"): [(0, (AWKWARD[2],)), (3, ("esc",))],
    ("runs", "rename"): [(2, (AWKWARD[1], " ")), (0, (AWKWARD[1], AWKWARD[7]))],
    ("runs", "delete"): [(0, (AWKWARD[4], "--yes")), (2, (AWKWARD[5],))],
    ("db", "path"): [(0, ())],
    ("db", "check"): [(0, ())],
    ("db", "backup"): [(0, ("copy-\x1b[31m-🙂.db",))],
    ("db", "migrate"): [(0, ())],
    ("views", "add"): [(2, ("\x1b", "?x=1")), (2, ("new", "\x1b[31m"))],
    ("views", "list"): [(0, ())],
    ("views", "remove"): [(3, ("\x1b[31m",)), (0, ("kept",))],
    ("export",): [
        (0, ("--static", "site-北京", "--run", AWKWARD[1], "--no-images", "--faces", "1")),
        (0, ("--bundle", "bundle-\x1b.db", "--run", AWKWARD[3])),
    ],
    ("export", "onnx"): [(3, ("two",)), (3, ("\x1b[31m",))],
    ("export", "predictions"): [(3, ("esc", "--out", "p\x1b.csv"))],
    ("import", "predictions"): [(2, ("file-\x1b.csv", "--name", "m", "--dataset", "synthetic"))],
    ("import", "bundle"): [(3, ("no\x1bfile.db",))],
    ("verify",): [(0, ())],
    ("predict",): [(3, ("photo-\x1b.jpg",)), (2, ("drf.db", "--box", "\x1b"))],
    ("runs", "recover"): [(3, ("folder-\x1b",)), (3, ("folder-\x1b", "other"))],
    ("sweep", "run"): [(2, ("grid-\x1b.toml",)), (2, ("no\x1bgrid",))],
    ("sweep", "search"): [(2, ("no\x1bgrid",))],
    ("sweep", "list"): [(0, ())],
    ("sweep", "status"): [(3, ("\x1b[31m",))],
    ("sweep", "table"): [(3, ())],
    ("sweep", "submit"): [(2, ("no\x1bgrid", "--folder", "jobs"))],
    ("sweep", "gather"): [(3, ("folder-\x1b",))],
    ("repro",): [(3, ("\x1b[31m",))],
    ("runs", "reap"): [(0, ())],
    ("db", "prune"): [(2, ("crop\x1b",)), (2, ("crops",)), (0, ("crops", "--yes"))],
    ("ablate",): [(2, ("--factor", "\x1b[31m")), (3, ("--factor", "x", "--baseline", "\x1b"))],
    ("web",): [(2, ("--port", "\x1b[31m"))],  # it becomes another program
    ("demo",): [(2, ("--minutes", "nan"))],  # it takes minutes
    ("doctor",): [(0, ())],
}
"""Command -> its exit code and arguments. Every command must have one."""


def test_every_command_has_an_example() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


def refuses_nothing(said: Said) -> None:
    """What was written is text of the encoding, without control characters but line breaks."""
    for text in (said.text, said.error):
        assert not UNPRINTABLE.search(text.replace("\n", "")), text
    assert "Traceback" not in said.error


@pytest.mark.parametrize(
    "encoding",
    [  # the narrowest, and the one of the reports; what these can show the others can
        *("ascii", "cp1252"),
        *(pytest.param(one, marks=pytest.mark.slow) for one in ENCODINGS[2:]),
    ],
)
@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_every_command_writes_what_the_terminal_can_show(
    drf: Call, words: tuple[str, ...], encoding: str
) -> None:
    """ffroliva/gflow-cli#82, Textualize/rich#3764, mlflow/mlflow#17164: UnicodeEncodeError of a
    table on Windows or into a file. And names from files never steer a terminal."""
    for code, arguments in EXAMPLES[words]:
        said = drf(*words, *arguments, encoding=encoding)
        assert said.code == code, said.error
        refuses_nothing(said)
        assert said.out or said.err
    said = drf(*words, "--help", encoding=encoding)
    assert said.code == 0
    refuses_nothing(said)
    assert "Usage: drf" in said.text


PRINT_JSON = [
    (words, arguments)
    for words, command in COMMANDS.items()
    if any("--json" in p.opts for p in command.params)
    for code, arguments in EXAMPLES[words]
    if code == 0
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("words", "arguments"), PRINT_JSON)
def test_json_is_json_in_every_encoding(
    drf: Call, words: tuple[str, ...], arguments: tuple[str, ...], encoding: str
) -> None:
    """mlflow/mlflow#17164: an escape of Python's is none of JSON's."""
    said = drf(*words, *arguments, "--json", encoding=encoding)
    refuses_nothing(said)
    document = json.loads(said.text)
    if words in {("leaderboard",), ("runs", "list")} and not arguments:
        assert {row["name"] for row in document} >= set(AWKWARD)


def test_a_closed_output_is_no_error(made: Path) -> None:
    """`drf leaderboard >&-`: Python has no sys.stdout then."""
    command = "import os; os.close(1); os.execv(os.sys.executable, os.sys.argv[1:])"
    drf = [sys.executable, "-c", "from cli.main import main; main()"]
    words = ["leaderboard", "--json", "--db", str(made / "drf.db")]
    done = subprocess.run(
        [sys.executable, "-c", command, *drf, *words], stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    assert printable("a\x1b[31m\n\r\u202e\u2028\x9b\udce9é北🙂") == (
        r"a\x1b[31m\n\r\u202e\u2028\x9b\xe9é北🙂"
    )


# ---- paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home of a user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_tilde_is_the_home_folder_in_options_and_variables(
    drf: Call, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gregreen/dustmaps#2, huggingface/datasets#5757, mne-tools/mne-python#11533"""
    assert drf("db", "path", "--db=~/b/x.db").text.strip() == str(home / "b/x.db")
    for name in ("DRF_DB", "DRF_DATA", "DRF_CACHE"):
        monkeypatch.setenv(name, "~/b/drf.db")
    assert drf("db", "path").text.strip() == str(home / "b/drf.db")
    assert default_cache_dir() == home / "b/drf.db"
    assert Source(None, 0, None).required_root("300w") == home / "b/drf.db"
    from webapp import store

    assert store.path() == str(home / "b/drf.db")
    monkeypatch.setenv("DRF_CACHE", "~/cache")
    assert drf("data", "pack", "--subset", "val", "--max-faces", 1).code == 0
    assert [path.name for path in home.iterdir()] == ["cache"]
    assert not (tmp_path / "~").exists()


def test_every_option_that_is_a_path_expands_it() -> None:
    """A new option of a file or folder takes `user_path` too."""
    paths = [
        (words, parameter)
        for words, command in COMMANDS.items()
        for parameter in command.params
        if (parameter.metavar or "").strip("[].") in ("FILE", "DIR", "ROOT")
    ]
    assert len(paths) > 20
    for words, parameter in paths:
        assert parameter.type_descriptor.parameter_info.parser is user_path, (words, parameter)


@pytest.mark.parametrize("path", ["", " ", "~nobody-of-this-name/x.db"])
def test_a_path_that_can_be_none_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=r"blank|unknown user"):
        user_path(path)


@pytest.mark.parametrize(
    "words",
    [
        ("leaderboard", "--db", "{}"),
        ("train", "mean-shape", *TINY, "--db", "{}"),
        ("db", "backup", "{}"),
        ("export", "--static", "{}"),
        ("export", "--bundle", "{}"),
        ("data", "check", "{}"),
        ("data", "pack", "--subset", "val", "--cache", "{}"),
        ("train", "--config", "{}"),
    ],
)
def test_a_name_that_is_too_long_for_the_disk_is_a_sentence(
    drf: Call, words: tuple[str, ...]
) -> None:
    said = drf(*(word.format("x" * 300) for word in words))
    assert said.code in (1, 2)
    assert said.error.startswith("drf: ")
    assert re.search("too long", said.error)
    assert said.error.count("\n") == 1


def test_a_folder_whose_name_is_no_utf8_costs_no_training(drf: Call, tmp_path: Path) -> None:
    """yinguobing/cnn-facial-landmark#26: what is stored there can be read, checkpoints cannot."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    said = drf("train", "mean-shape", *TINY, "--db", folder / "drf.db")
    assert said.code == 2
    assert r"caf\xe9/drf.db, is not UTF-8: rename the folder" in said.error
    assert not list(folder.iterdir())
    shutil.copy("drf.db", folder)
    assert drf("leaderboard", "--db", folder / "drf.db").code == 0
    assert r"caf\xe9" in drf("db", "check", "--db", folder / "drf.db").text


# ---- text that users write


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("﻿[training]\nlr = 0.5\n".encode(), None),
        (b"[training]\r\nlr = 0.5\r\n", None),
        ("[training]\nlr = 0.5\n".encode("utf-16"), "UTF-16.*save it as UTF-8"),
        ("[training]\nlr = 0.5\n".encode("utf-16-le"), "UTF-16.*save it as UTF-8"),
        ("[training]\nlr = 0.5\n".encode("utf-32"), "UTF-32.*save it as UTF-8"),
        ("# Größe\n[training]\nlr = 0.5\n".encode("latin-1"), r"UTF-8 \(byte 4\): save it as"),
        (b"[training]\nlr = " + b"9" * 5000, "too many digits"),
        (b"[training]\nlr = 0x" + b"F" * 5000, "takes a value in 0..10, not a value"),
        (b"[training]\nlr = 1e999", "takes a value in 0..10, not inf"),
        (b"[training]\nlr = nan", "takes a value in 0..10, not nan"),
        (b"[training]\nlr = " + b"9" * 400, "takes a value in 0..10, not 99"),
        (b"[training]\nlr = " + b"[" * 10_000, "nested too deeply"),
        (b"a" + b".a" * 5_000 + b" = 1", "nested too deeply"),
        (b"[training]\nlr = \0", "not valid TOML"),
    ],
)
def test_a_configuration_file_is_read_or_refused_in_a_sentence(
    drf: Call, tmp_path: Path, data: bytes, sentence: str | None
) -> None:
    """hukkin/tomli#304, influxdata/telegraf#1378, Nayjest/Gito#315: TOML of Notepad and
    PowerShell."""
    (tmp_path / "mine.toml").write_bytes(data)
    said = drf("train", "hourglass", "--config", "mine.toml", "--keys", "--json")
    if sentence is None:
        assert {k["key"]: k["value"] for k in json.loads(said.text)}["training.lr"] == 0.5
        return
    assert said.code == 2
    assert re.search(sentence, said.error)
    assert said.error.count("\n") == 1
    assert len(said.error) < 500


@pytest.mark.parametrize("name", ["", "  ", "\t", "\udcff", "x" * 501])
def test_a_name_that_cannot_be_shown_is_refused(drf: Call, tmp_path: Path, name: str) -> None:
    for words in ((), ("--dry-run",)):
        said = drf("train", "mean-shape", "--name", name, *words)
        assert said.code == 2
        assert re.search("blank|UTF-8|at most", said.error)


NUMBERS = ("-1", "0", "1e308", "1e999", "nan", "9" * 30, "9" * 5000, "0x" + "F" * 5000, "")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "words",
    [
        ("train", "mean-shape", "--keys", "--seed"),
        ("train", "mean-shape", "--keys", "--epochs"),
        ("train", "mean-shape", "--keys", "--max-minutes"),
        ("data", "pack", "--synthetic-train-size"),
        ("data", "pack", "--synthetic-seed", "-1", "--max-faces"),
        ("demo", "--minutes"),
        ("web", "--port"),
    ],
)
def test_a_number_is_taken_or_refused_in_a_sentence(
    drf: Call, words: tuple[str, ...], number: str
) -> None:
    said = drf(*words, number)
    assert said.code in (0, 2)
    assert said.code == 0 or said.error.startswith("drf: ")
    assert len(said.error) < 400


REFUSED = (
    ("--precision", "fp8", "takes one of auto, fp32, bf16, not 'fp8'"),
    ("--device", "tpu", "takes one of auto, cpu, cuda, mps, not 'tpu'"),
    ("--device", "cuda:1", "CUDA_VISIBLE_DEVICES=1 with --device cuda chooses that GPU"),
    ("--device", "mps", r"no Apple GPU \(mps\); use --device cpu or auto"),
    ("--box", "square", "'square'"),
)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="the device is there")
@pytest.mark.parametrize(
    ("words", "option", "value", "sentence"),
    [
        *(
            (words, *case)
            for words in (("train", "mean-shape"), ("eval", "two"))
            for case in REFUSED
        ),
        (("data", "pack", "--subset", "val"), *REFUSED[-1]),
    ],
)
def test_options_are_checked_alike_by_every_command(
    drf: Call, words: tuple[str, ...], option: str, value: str, sentence: str
) -> None:
    """1adrianb/face-alignment#338 and #340: a device that is not there."""
    said = drf(*words, option, value)
    assert said.code == 2
    assert re.search(sentence, said.error)


def test_mps_is_taken_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """1adrianb/face-alignment#338, biubug6/Pytorch_Retinaface#214"""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    device = hardware.choose_device("mps")
    assert device.type == "mps"
    assert hardware.choose_precision("auto", device) == "fp32"
    assert "Apple GPU" in hardware.describe(device)


# ---- a run that goes on elsewhere


@pytest.fixture
def of_a_gpu(drf: Call, tmp_path: Path) -> str:
    """A run that, by its files, was trained with --device cuda and ended after its first epoch."""
    options = ("--set", "data.input_size=32", "--set", "model.width=8", "--set", "model.depth=2")
    small = (*TINY, *options, "--set", "training.batch_size=8", "--set", "model.growth=0")
    run = json.loads(drf("train", "hourglass", *small, "--epochs", 1, "--json").text)["run"]
    for name in (checkpoint.LAST, checkpoint.BEST):
        saved = checkpoint.load(tmp_path / run / name)
        saved.header["config"]["training.device"] = "cuda"
        checkpoint.save(tmp_path / run / name, saved.tensors, saved.header)
    con = sqlite3.connect(tmp_path / "drf.db")
    with con:
        key = "run = ? AND key = 'training.device'"
        con.execute(f"UPDATE run_config SET value = '\"cuda\"' WHERE {key}", [run])
    con.close()
    return str(run)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_run_goes_on_with_another_device(drf: Call, of_a_gpu: str) -> None:
    """ultralytics/yolov5#2650: resume on a CPU what began on a GPU; and what one message advises,
    the next command accepts."""
    resume = ("train", "--resume", of_a_gpu, "--epochs", 2)
    said = drf(*resume)
    assert said.code == 2
    assert "use --device cpu or auto" in said.error
    for device in ("cpu", "auto"):
        said = drf(*resume, "--device", device, "--json")
        assert said.code == 0, said.error
        assert json.loads(said.text)["epochs"] == 2
    shown = json.loads(drf("runs", "show", of_a_gpu, "--json").text)
    assert shown["config"]["training.device"]["value"] == "cuda"  # the method is the same
    assert drf("eval", of_a_gpu).code == 0


# ---- too little memory


def real_failures() -> dict[str, BaseException]:
    """What libraries raise here where memory is short, and what torch raises on a GPU."""
    found: dict[str, BaseException] = {
        "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …"),
        "python": MemoryError(),
    }
    for name, allocate in (
        ("torch", lambda: torch.empty(2**48)),
        ("numpy", lambda: np.empty(2**48)),
    ):
        try:
            allocate()
        except (RuntimeError, MemoryError) as error:
            found[name] = error
    return found


@pytest.mark.parametrize("name", ["gpu", "cublas", "python", "torch", "numpy"])
def test_too_little_memory_is_recognised(name: str) -> None:
    error = real_failures()[name]
    assert is_out_of_memory(error)
    with pytest.raises(DrfError, match=r"^not enough memory for this: do less, or close"):  # noqa: SIM117
        with enough_memory("this", "do less"):
            raise error


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError(
            "The operator 'aten::x' is not currently implemented for the MPS device"
        ),
        TypeError("Cannot convert a MPS Tensor to float64 dtype"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        RuntimeError("grid_sampler_2d_backward_cuda does not have a deterministic implementation"),
    ],
)
def test_what_torch_cannot_do_on_a_device_is_told(error: Exception) -> None:
    with pytest.raises(DrfError, match="use --device cpu"), enough_memory("this", "do less"):
        raise error


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes"), enough_memory("this", "do less"):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize("how", ["gpu", "python"])
def test_a_training_without_memory_says_what_to_lower(
    drf: Call, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """1adrianb/face-alignment#166, D-X-Y/landmark-detection#16"""

    def fail(*_: object, **__: object) -> None:
        raise real_failures()[how]

    monkeypatch.setattr(MeanShape, "forward", fail)
    monkeypatch.setattr("drf.registry.count_macs", lambda model: 0)
    said = drf("train", "mean-shape", *TINY)
    assert said.code == 1
    wanted = "not enough memory for training with a batch of 10 faces of 128 px on cpu: lower"
    assert f"drf: {wanted} training.batch_size or data.input_size" in said.error
    runs = json.loads(drf("runs", "list", "--json").text)
    assert runs[0]["status"] == "failed"
    assert runs[0]["reason"].startswith(wanted)


def test_an_evaluation_and_a_packing_without_memory_say_so(
    drf: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    run = json.loads(drf("train", "mean-shape", *TINY, "--json").text)["run"]
    monkeypatch.setattr(MeanShape, "points", fail)
    said = drf("eval", run)
    assert said.code == 1
    assert "evaluating 32 faces of 128 px at a time on cpu: take another --device" in said.error
    monkeypatch.setattr("drf.data.crops.cut", fail)
    said = drf("data", "pack", "--subset", "val", "--max-faces", 3)
    assert said.code == 1
    assert "packing 3 faces of val on the CPU: pack fewer" in said.error


# ---- what to do next


def test_an_empty_file_is_no_old_store(drf: Call, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for words in (("leaderboard",), ("runs", "list"), ("db", "check"), ("web",)):
        said = drf(*words, "--db", "empty.db")
        assert said.code == 2
        assert "is empty" in said.error
        assert "older" not in said.error
    assert drf("train", "mean-shape", *TINY, "--db", "empty.db").code == 0


def test_a_store_without_its_run_folders_says_what_to_copy(drf: Call, tmp_path: Path) -> None:
    """yinguobing/facial-landmark-dataset#3: a copy that is not complete."""
    run = json.loads(drf("train", "mean-shape", *TINY, "--json").text)["run"]
    (tmp_path / run / checkpoint.BEST).unlink()
    said = drf("eval", run)
    assert said.code == 3
    assert "train it again" in said.error
    shutil.rmtree(tmp_path / run)
    said = drf("eval", run)
    assert said.code == 3
    assert f"copy the folder {run} to {tmp_path}" in said.error


def test_one_damaged_view_does_not_take_the_others(drf: Call, tmp_path: Path) -> None:
    con = sqlite3.connect(tmp_path / "drf.db")
    into = "INSERT INTO views (name, link, created_at)"
    with con:
        for name, link in (("bad", "no link"), ("worse", "?a&&"), ("long", "?a=" + "[" * 40_000)):
            con.execute(f"{into} VALUES (?, ?, '2026-01-01T00:00:00Z')", [name, link])
        con.execute(f"{into} VALUES ('odd', CAST(X'3fff3d31' AS TEXT), '')")
    con.close()
    listed = {view["name"]: view for view in json.loads(drf("views", "list", "--json").text)}
    assert listed["kept"]["fault"] is None
    assert all(listed[name]["fault"] for name in ("bad", "worse", "long"))
    assert drf("views", "list").code == 0
    reader = open_reader(tmp_path / "drf.db")
    with pytest.raises(UsageError, match="the view 'bad' cannot be opened"):
        saved_links.find_view(reader, "bad")
    reader.close()
    for name in ("bad", "worse", "long", "odd"):
        assert drf("views", "remove", name).code == 0


SYSTEM_ERRORS = {
    28: "no space left",
    122: "quota",
    30: "read-only",
    13: "may not be accessed",
    2: "does not exist",
    20: "leads through a file",
    36: "too long",
    5: "failed to read or write",
}


@pytest.mark.skipif(sys.platform != "linux", reason="numbers of Linux")
@pytest.mark.parametrize(("number", "words"), SYSTEM_ERRORS.items())
def test_what_the_system_refuses_has_its_own_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """BinItAI/visdet#95, bghira/SimpleTuner#2353: a full disk; "make room" helps against nothing
    else, and nothing can be resumed where there is no checkpoint."""
    from safetensors import SafetensorError

    assert words in str(explain_os_error(OSError(number, "words of the system", "x")))

    def fail(*_: object, **__: object) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: words (os error {number})")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    path = tmp_path / "run" / checkpoint.BEST
    with pytest.raises(DrfError, match=f"cannot write the checkpoint: .*{words}") as first:
        checkpoint.save(path, {}, {})
    assert "resume" not in str(first.value)
    path.with_name(checkpoint.LAST).touch()
    with pytest.raises(DrfError, match="then resume the run"):
        checkpoint.save(path, {}, {})


def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"leads through a file|is in the way"):
        open_store(tmp_path / "file/deeper/drf.db")


# ---- advice


class Texts(ast.NodeVisitor):
    """Every text of a module; what is filled in is X."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.found.append(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [p.value if isinstance(p, ast.Constant) else "X" for p in node.values]
        self.found.append("".join(map(str, parts)))
        for part in node.values:
            if not isinstance(part, ast.Constant):
                self.visit(part)


@pytest.fixture(scope="module")
def messages() -> list[tuple[str, str]]:
    """Every text in the code, as (file, text)."""
    found = []
    for top in ("cli", "experiments", "drf", "db", "webapp"):
        for file in sorted((REPOSITORY / top).rglob("*.py")):
            texts = Texts()
            texts.visit(ast.parse(file.read_text(encoding="utf-8")))
            found += [(file.name, text) for text in texts.found]
    return found


ADVISED = re.compile(
    r"`(drf [^`]+)`|Next: (drf [^,:.;]+)|(?<=remove it first: )(drf .+)"
    r"|^(drf (?!X|static export).+)"  # a text of its own, to which the store is added
)


def test_the_commands_that_messages_advise_exist(messages: list[tuple[str, str]]) -> None:
    advised = {
        next(filter(None, match.groups()))
        for _, text in messages
        for match in ADVISED.finditer(text)
    }
    commands = {command for command in advised if "…" not in command}
    assert len(commands) > 20
    for command in commands:
        exists(command)


def exists(command: str) -> None:
    """Words are commands, options exist and have their values."""
    words, node = shlex.split(command)[1:], typer.main.get_command(cli.main.app)
    context = typer.Context(node, info_name="drf")
    while words and words[0] in getattr(node, "commands", {}):
        node = node.commands[words.pop(0)]
        context = typer.Context(node, info_name=node.name, parent=context)
    if hasattr(node, "commands"):
        assert not words, command
        return
    needs_value = (
        [opt for p in node.params if not getattr(p, "is_flag", True) for opt in p.opts]
        if words
        else []
    )
    words += ["X"] if words and words[-1] in needs_value else []
    _, left, _ = node.make_parser(context).parse_args(words)
    assert not left, command


def test_what_a_message_advises_is_accepted_in_a_folder_with_blanks(
    drf: Call, tmp_path: Path
) -> None:
    old = tmp_path / "my old 'store'.db"
    shutil.copy(REPOSITORY / "tests/golden/store/drf.db", old)
    said = drf("leaderboard", "--db", old)
    assert said.code == 2
    advised = re.search(r"run `(drf db migrate [^`]+)` first", said.error)
    assert advised
    assert drf(*shlex.split(advised[1])[1:]).code == 0
    assert drf("leaderboard", "--db", old).code == 0


def test_the_next_command_is_for_the_same_store(drf: Call, tmp_path: Path) -> None:
    said = drf("train", "mean-shape", *TINY, "--db", tmp_path / "my lab.db")
    for command in ("eval", "leaderboard"):
        advised = re.search(r"Next: drf ([^,\n]+)", said.error)
        assert advised
        words = shlex.split(advised[1])
        assert words[0] == command
        said = drf(*words)
        assert said.code == 0, said.error
    assert printable(AWKWARD[3]) in said.text
    assert "--db" not in drf("train", "mean-shape", *TINY).error


def test_an_option_that_a_message_advises_exists(messages: list[tuple[str, str]]) -> None:
    known = {
        opt for c in COMMANDS.values() for p in c.params for opt in (*p.opts, *p.secondary_opts)
    }
    known |= {"--help", "--version", "--resume"}
    named = {
        (file, option)
        for file, text in messages
        if " " in text and "--server" not in text and "--browser" not in text
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)
    }
    assert {option for _, option in named} >= {"--db", "--device", "--box-file", "--no-flip-test"}
    assert {(file, option) for file, option in named if option not in known} <= {
        ("provenance.py", "--git"),
        *((file, "--no-deps") for file in ("detection.py", "pretrained.py")),  # of pip
        *(("pseudo_labels.py", own) for own in ("--pictures", "--keep")),
        ("refined_labels.py", "--folds"),
    }
