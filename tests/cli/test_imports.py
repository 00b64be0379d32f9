"""Predictions of any method: imported, refused, exported again, and verified."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.connection import open_reader, open_store
from db.predictions import image_errors, predictions
from db.recording.evaluations import record_evaluation
from drf.data import prediction_check
from drf.data.prediction_files import FORMATS, read_predictions, write_predictions
from drf.errors import DataError
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.cli.conftest import Answer, Drf
from tests.data.made_up import points_of, write_face, write_folder
from tests.db.examples import evaluation

N = 12
Import = Callable[..., Answer]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A 300-W root with helen's and lfpw's test faces, few and made up, and a cache for packs."""
    root = tmp_path_factory.mktemp("300w")
    for folder in ("helen/testset", "lfpw/testset"):
        write_folder(root, folder, N)
    write_face(root, ELSEWHERE)
    return root, tmp_path_factory.mktemp("cache")


ELSEWHERE = "ibug/image_003_1"
NAMES = [f"helen/testset/{1000 + i}_1" for i in range(N)]
OTHERS = [f"lfpw/testset/{1000 + i}_1" for i in range(N)]
TRUTH = np.stack([points_of(name) for name in NAMES])


@pytest.fixture
def predicted() -> np.ndarray:
    """Predictions for NAMES, (N, 68, 2) float32."""
    noise = np.random.default_rng(5).normal(0, 0.4, TRUTH.shape)
    return (TRUTH + noise).astype(np.float32)


@pytest.fixture
def bring(drf: Drf, tree: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Import:
    """Run `drf import predictions FILE` for helen's test faces, under the name "theirs"."""
    # The counts of the original: a tree of a dozen faces is whole here.
    monkeypatch.setattr("drf.data.w300.W300.missing", lambda self, name: {}, raising=True)

    def call(file: Path, *more: object) -> Answer:
        root, cache = tree
        where = ("--dataset", "300w", "--data-root", root, "--cache", cache)
        named = () if "--name" in more else ("--name", "theirs")
        subset = () if "--subset" in more else ("--subset", "helen")
        return drf("import", "predictions", file, *where, *named, *subset, *more)

    return call


def csv_of(path: Path, names: list[str], points: np.ndarray) -> Path:
    write_predictions(path, "csv", names, points)
    return path


def untouched(drf: Drf, tmp_path: Path) -> bool:
    """Whether the store was never written, or has no run."""
    return not (tmp_path / "drf.db").exists() or drf("runs", "list", "--json").json == []


def test_an_imported_method_is_a_row_like_any_other_with_the_scores_of_the_protocol(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    paper = ("--paper", "https://example.org/paper", "--note", "trained on WFLW")
    answer = bring(csv_of(tmp_path / "p.csv", NAMES, predicted), *paper, "--json")
    assert answer.code == 0, answer.err
    entry = answer.json
    for norm in scores.NORMALISER_KEYS:
        truth = TRUTH.astype(np.float32)
        errors = scores.image_errors(predicted, truth, norm, IBUG68)
        expected = scores.summary(errors)
        found = entry["scores"][norm]
        assert found == pytest.approx({key: 100 * value for key, value in expected.items()})
    assert (entry["family"], entry["n"], entry["ranked"]) == ("external", N, True)
    con = open_reader(tmp_path / "drf.db")
    assert len(image_errors(con, entry["evaluation"])) == N
    assert con.execute("SELECT count(*) FROM faces WHERE crop IS NOT NULL").fetchone() == (N,)
    con.close()
    provenance = drf("runs", "show", "theirs", "--json").json["provenance"]
    assert (provenance["paper"], provenance["note"]) == (paper[1], paper[3])
    (row,) = drf("leaderboard", "--json").json
    assert row["run"] == entry["run"]


def test_nothing_is_said_of_an_external_method_that_is_not_known(
    drf: Drf, bring: Import, predicted: np.ndarray, filled: list[str], tmp_path: Path
) -> None:
    file = csv_of(tmp_path / "p.csv", NAMES, predicted)
    entry = bring(file, "--json").json
    assert isinstance(entry["scores"]["ocular"]["nme"], float)
    unknown = ("params", "macs", "ms_per_face", "wall_s", "epochs_trained", "device", "threads")
    assert {entry[key] for key in unknown} == {None}
    shown = drf("runs", "show", "theirs", "--json").json
    unknown = ("params", "macs", "wall_s", "kept_epoch", "faces_per_s", "epochs", "hardware")
    assert {shown[key] for key in unknown} == {None}
    assert {one["ms_per_face"] for one in shown["evaluations"]} == {None}
    text = drf("leaderboard").out
    assert "theirs (external)" in text
    assert "External methods are predictions that were imported: theirs." in text
    assert "5 M" in text  # the other boards are as before
    (row,) = (run for run in drf("runs", "list", "--json").json if run["name"] == "theirs")
    assert (row["params"], row["wall_s"]) == (None, None)


def test_an_external_method_is_shown_compared_and_exported_as_such(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    bring(csv_of(tmp_path / "a.csv", NAMES, predicted))
    worse = predicted + np.float32(0.7) * (predicted - TRUTH.astype(np.float32))
    assert bring(csv_of(tmp_path / "b.csv", NAMES, worse), "--name", "other").code == 0
    methods = drf("leaderboard", "--methods", "--json").json
    assert [row["name"] for row in methods] == ["theirs", "other"]  # no two of one method
    assert "trained" not in drf("runs", "diff", "theirs", "other").err
    site = tmp_path / "site"
    assert drf("export", "--static", site).code == 0
    page = next(site.rglob("*theirs*.html"), None) or next((site / "runs").glob("*.html"))
    assert "external" in page.read_text(encoding="utf-8")
    bundle = tmp_path / "b.db"
    assert drf("export", "--bundle", bundle).code == 0
    assert drf("verify", "--db", bundle).code == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_a_round_trip_gives_the_same_digits(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path, kind: str
) -> None:
    first = bring(csv_of(tmp_path / "p.csv", NAMES, predicted), "--json").json
    out = tmp_path / ("out" if kind == "pts" else f"out.{kind}")
    export = ("export", "predictions", "theirs", "--format", kind, "--out", out)
    assert drf(*export).code == 0
    again = bring(out, "--name", "again", "--json").json
    assert again["scores"] == first["scores"]
    con = open_reader(tmp_path / "drf.db")
    one, two = (predictions(con, entry["evaluation"])[2] for entry in (first, again))
    con.close()
    assert one.tobytes() == two.tobytes() == predicted.tobytes()
    refused = drf(*export)
    assert (refused.code, "exists" in refused.err) == (2, True)


def test_a_run_of_a_landmark_subset_comes_back_too(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    eyes = ("--landmarks", "eyes")
    first = bring(csv_of(tmp_path / "p.csv", NAMES, predicted), *eyes, "--json").json
    second = bring(csv_of(tmp_path / "s.csv", NAMES, predicted), *eyes, "--name", "second")
    assert "Next: drf leaderboard --landmarks eyes, or drf web" in second.err + second.out
    out = tmp_path / "out.json"
    assert drf("export", "predictions", "theirs", "--format", "json", "--out", out).code == 0
    assert {len(points) for points in json.loads(out.read_text()).values()} == {
        len(IBUG68.indices("eyes"))
    }
    again = bring(out, *eyes, "--name", "again", "--json").json
    assert again["scores"] == first["scores"]


def test_one_file_serves_several_subsets_of_one_method(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    theirs = np.stack([points_of(name) for name in OTHERS]).astype(np.float32)
    file = csv_of(tmp_path / "p.csv", [*NAMES, *OTHERS], np.concatenate([predicted, theirs]))
    one = bring(file, "--json")
    assert "12 faces of the file are in other subsets" in one.err
    two = bring(file, "--subset", "lfpw", "--json")
    assert two.json["run"] == one.json["run"]
    twice = bring(file)
    assert (twice.code, "has predictions for helen already" in twice.err) == (2, True)
    assert bring(file, "--seed", "1").code == 0
    answer = drf("export", "predictions", one.json["run"], "--out", tmp_path / "o.csv")
    assert (answer.code, "add --subset" in answer.err) == (2, True)
    named = ("export", "predictions", one.json["run"], "--subset")
    assert drf(*named, "lfpw", "--out", tmp_path / "o.csv").code == 0
    assert drf(*named, "ibug", "--out", tmp_path / "x.csv").code == 3


def _evaluated_on_more_boards(path: Path, run: str) -> dict[tuple[str, str, str], np.ndarray]:
    """Evaluate a run of the filled store (its own board: synthetic common, box gt) on other boards
    of the same subset; return the predictions by dataset, landmarks and box, the newest last."""
    store = open_store(path)
    made = {}
    for number, (dataset, landmarks, box) in enumerate(
        [
            ("synthetic", "all", "gt_jitter"),
            ("other", "all", "gt"),
            ("other", "eyes", "gt"),
        ]
    ):
        result = evaluation(dataset=dataset, landmarks=landmarks, box=box, seed=90 + number)
        record_evaluation(store, run, result, [])
        chosen = list(IBUG68.indices(landmarks))
        made[dataset, landmarks, box] = result.predictions[:, chosen]
    store.close()
    return made


def test_predictions_are_those_of_the_board_that_is_meant(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    run = filled[1]
    con = open_reader(tmp_path / "drf.db")
    first = con.execute("SELECT id FROM evaluations WHERE run = ?", [run]).fetchone()[0]
    boards = {("synthetic", "all", "gt"): predictions(con, first)[2]}
    con.close()
    boards |= _evaluated_on_more_boards(tmp_path / "drf.db", run)
    for number, ((dataset, landmarks, box), expected) in enumerate(boards.items()):
        out = tmp_path / f"{number}.npz"
        named = ("--dataset", dataset, "--landmarks", landmarks, "--box", box)
        words = ("export", "predictions", run, "--format", "npz", "--out", out)
        answer = drf(*words, "--subset", "common", *named)
        assert answer.code == 0, answer.err
        assert f"{dataset} common, landmarks {landmarks}, box {box}" in answer.err
        np.testing.assert_array_equal(np.load(out)["predictions"], expected)


def test_predictions_of_several_boards_are_refused_and_those_of_the_own_dataset_preferred(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    run, out = filled[1], tmp_path / "o.csv"
    _evaluated_on_more_boards(tmp_path / "drf.db", run)
    words = ("export", "predictions", run, "--out", out, "--subset", "common")
    for more, said in (
        ((), "(box gt, gt_jitter): add --box NAME"),
        (("--dataset", "other"), "(landmarks all, eyes): add --landmarks NAME"),
    ):
        answer = drf(*words, *more)
        assert (answer.code, said in answer.err) == (2, True), answer.err
        assert len(answer.err.strip().splitlines()) == 1
    absent = drf(*words, "--dataset", "300w")
    assert (absent.code, "no predictions with dataset 300w" in absent.err) == (3, True)
    assert "other common (landmarks eyes, box gt)" in absent.err
    assert not out.exists()
    answer = drf(*words, "--box", "gt")
    assert answer.code == 0, answer.err
    assert "synthetic common, landmarks all, box gt" in answer.err


def test_names_may_be_those_of_pictures(
    bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    listed = [
        {"imgpath": f"{name}.jpg", "landmarks": points.tolist(), "bbox": [0, 0, 1, 1]}
        for name, points in zip(NAMES, predicted, strict=True)
    ]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    first = bring(tmp_path / "list.json", "--json").json
    bare = [name.rpartition("/")[2] for name in NAMES]
    second = bring(csv_of(tmp_path / "p.csv", bare, predicted), "--name", "bare", "--json").json
    assert second["scores"] == first["scores"]


Spoil = Callable[[list[str], np.ndarray], tuple[list[str], Any]]
SPOILED: dict[str, tuple[Spoil, str]] = {
    "missing": (
        lambda n, p: (n[:-2], p[:-2]),
        "no predictions for faces (2 of 12): 'helen/testset/10",
    ),
    "doubled": (lambda n, p: ([*n, n[3]], p[[*range(N), 3]]), "faces twice (1): 'helen"),
    "unknown": (
        lambda n, p: (["../../x", *n[1:]], p),
        "faces that are not in the dataset (1): '../../x'",
    ),
    "67": (lambda n, p: (n, p[:, :67]), "another number of landmarks than 68 (12): 'helen"),
    "98": (lambda n, p: (n, p[:, [*range(68), *range(30)]]), "has 98"),
    "NaN": (
        lambda n, p: (n, np.where(p == p[2, 5], np.nan, p)),
        "NaN, infinite or no place in a picture (1): 'helen",
    ),
    "infinite": (
        lambda n, p: (n, np.where(p == p[2, 5], np.inf, p)),
        "NaN, infinite or no place in a picture (1): 'helen",
    ),
    "exchanged": (lambda n, p: (n, p[..., ::-1]), "x and y were exchanged"),
    "crop": (lambda n, p: (n, _in_crop(p, 256)), "coordinates of a crop"),
    "0..1": (lambda n, p: (n, _in_crop(p, 1)), "coordinates of a crop"),
    "exchanged crop": (lambda n, p: (n, _in_crop(p, 224)[..., ::-1]), "exchanged, and of a crop"),
    "mirrored": (lambda n, p: (n, np.stack([47 - p[..., 0], p[..., 1]], -1)), "been mirrored"),
    "from below": (lambda n, p: (n, np.stack([p[..., 0], 47 - p[..., 1]], -1)), "from the bottom"),
    "elsewhere": (
        lambda n, p: (n, p + np.array([900, 20])),
        "coordinates of a crop or of another size",
    ),
    "other faces": (lambda n, p: (n, np.full_like(p, 3000.0)), "lie beside their faces"),
    "all x, then all y": (
        lambda n, p: (n, p.transpose(0, 2, 1).reshape(p.shape)),
        "all x stood before all y",
    ),
    "hidden as 0 0": (lambda n, p: (n, _hidden(p, 0)), "landmarks at 0 0 or -1 -1"),
    "hidden as -1 -1": (lambda n, p: (n, _hidden(p, -1)), "1 of 12: 'helen/testset/1004_1'"),
    "1-based truth": (lambda n, p: (n, TRUTH + 1), "they are 1-based"),
}


def _hidden(points: np.ndarray, placeholder: float) -> np.ndarray:
    points[4, 30] = placeholder
    return points


def _in_crop(points: np.ndarray, size: float) -> np.ndarray:
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    side = (high - low).max(axis=2, keepdims=True) * 1.25
    return ((points - (low + high) / 2) / side + 0.5) * size


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_not_meant_as_it_stands_is_refused_with_the_faces(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path, kind: str
) -> None:
    spoil, sentence = SPOILED[kind]
    names, points = spoil(NAMES, predicted)
    answer = bring(csv_of(tmp_path / "p.csv", names, np.asarray(points)))
    assert answer.code == 2
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert untouched(drf, tmp_path)


@pytest.mark.parametrize(
    ("offset", "told"),
    [
        (0.5, "are they counted from the corner of the first pixel and not from its centre? If so,"
              " subtract 0.5 from them."),
        (1.0, "are they 1-based? If so, --first-pixel 1 reads those that count from 1."),
        (-0.5, "are they half a pixel too low? If so, add 0.5 to them."),
        (-1.0, "are they counted from -1? If so, add 1 to them."),
    ],
)  # fmt: skip
def test_points_that_may_be_1_based_are_told_with_their_offset(
    bring: Import, predicted: np.ndarray, tmp_path: Path, offset: float, told: str
) -> None:
    answer = bring(csv_of(tmp_path / "p.csv", NAMES, predicted + np.float32(offset)))
    assert answer.code == 0
    found = re.search(r"off by \((\S+), (\S+)\) px on average", answer.err)
    assert found
    assert [float(value) for value in found.groups()] == pytest.approx([offset] * 2, abs=0.06)
    assert told in answer.err


OFF = {  # kind of file: its points, of those that it should have; sentence; how they are mended
    "csv": [
        (1.0, "they are 1-based (--first-pixel 1 reads", 0.0, ("--first-pixel", "1")),
        (0.5, "they are counted from the corner of the first pixel", -0.5, ()),
        (-0.5, "(add 0.5 to them)", 0.5, ()),
        (-1.0, "they are counted from -1 (add 1 to them)", 1.0, ()),
    ],
    "csv from 1": [
        (1.0, "they are counted from 2 (subtract 1 from them)", -1.0, ("--first-pixel", "1")),
        (0.5, "(subtract 0.5 from them)", -0.5, ("--first-pixel", "1")),
        (-0.5, "(add 0.5 to them)", 0.5, ("--first-pixel", "1")),
        (-1.0, "they are 0-based (leave out --first-pixel 1)", 0.0, ()),
    ],
    "pts": [
        (1.0, "they are counted from 2 (subtract 1 from them)", -1.0, ()),
        (0.5, "(subtract 0.5 from them)", -0.5, ()),
        (-0.5, "(add 0.5 to them)", 0.5, ()),
        (-1.0, "they are 0-based (add 1 to them: .pts files count from 1)", 1.0, ()),
    ],
}


@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind in OFF for n in range(4)])
def test_what_is_advised_for_an_offset_is_accepted(
    bring: Import, tmp_path: Path, kind: str, number: int
) -> None:
    """The predictions are the truth but for little noise, and an offset that the user then mends as
    the refusal says, in the file or by an option."""
    offset, sentence, added, options = OFF[kind][number]
    first = 1.0 if kind == "csv from 1" else 0.0  # write_predictions makes .pts files 1-based
    right = TRUTH + np.random.default_rng(3).normal(0, 0.02, TRUTH.shape)
    suffix = "pts" if kind == "pts" else "csv"
    files = [tmp_path / f"{name}{'' if suffix == 'pts' else '.csv'}" for name in ("bad", "good")]
    for file, moved in zip(files, (0.0, added), strict=True):
        write_predictions(file, suffix, NAMES, (right + first + offset + moved).astype("f4"))
    refused = bring(files[0], *(("--first-pixel", "1") if first else ()))
    assert refused.code == 2
    assert sentence in refused.err
    assert refused.err.count("\n") == 1
    mended = bring(files[1], *options)
    assert mended.code == 0, mended.err
    assert "off by" not in mended.err


def test_faces_that_a_method_misses_are_told_and_no_more(
    bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    predicted[4] += 60
    answer = bring(csv_of(tmp_path / "p.csv", NAMES, predicted))
    assert answer.code == 0
    assert "Predictions lie beside their face, 1 of 12: 'helen/testset/1004_1'." in answer.err


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def bomb(path: Path) -> Path:
    """A small file whose array has 4 GB, by its header or unpacked."""
    header = io.BytesIO()
    described = {"descr": "<f8", "fortran_order": False, "shape": (2**29, 1)}
    np.lib.format.write_array_header_1_0(header, described)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", header.getvalue() + bytes(10))
        archive.writestr("predictions.npy", header.getvalue() + bytes(100 * 2**20))
    return path


def headed(path: Path, header: str) -> Path:
    """An .npz file whose arrays have a header of one's own and no numbers."""
    length = len(header) + 1
    start = b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + header.encode() + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("names.npy", start)
        archive.writestr("predictions.npy", start)
    return path


def text(path: Path, held: str | bytes) -> Path:
    path.write_bytes(held if isinstance(held, bytes) else held.encode())
    return path


HEADER = "name," + ",".join(f"x{i},y{i}" for i in range(68))
FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty csv": (lambda d: text(d / "p.csv", ""), "is empty"),
    "csv of no rows": (lambda d: text(d / "p.csv", HEADER + "\n"), "contains no predictions"),
    "no header": (lambda d: text(d / "p.csv", "a,1,2\n"), "does not begin with the header"),
    "xxyy": (lambda d: text(d / "p.csv", "name,x0,x1,y0,y1\n"), "does not begin with the header"),
    "semicolons": (lambda d: text(d / "p.csv", "name;x0;y0\n"), "separated by commas"),
    "short row": (lambda d: text(d / "p.csv", "name,x0,y0\na,1\n"), "line 2: 2 values where"),
    "no number": (lambda d: text(d / "p.csv", "name,x0,y0\na,1,?\n"), "'?' stands where a number"),
    "UTF-16": (lambda d: text(d / "p.csv", HEADER.encode("utf-16")), "UTF-16: save it as UTF-8"),
    "Latin-1": (lambda d: text(d / "p.csv", "name,x0,y0\n\xe9,1,1".encode("latin-1")), "UTF-8"),
    "open quote": (lambda d: text(d / "p.csv", 'name,x0,y0\n"a,1,1'), "not a CSV file"),
    "no JSON": (lambda d: text(d / "p.json", "{"), "is not a JSON document"),
    "deep JSON": (lambda d: text(d / "p.json", "[" * 100_000), "is not a JSON document"),
    "a number": (lambda d: text(d / "p.json", "3"), "is neither an object"),
    "empty object": (lambda d: text(d / "p.json", "{}"), "contains no predictions"),
    "flat list": (lambda d: text(d / "p.json", '{"a": [1, 2]}'), "not a list of pairs"),
    "huge number": (lambda d: text(d / "p.json", '{"a": [[1' + "0" * 400 + ", 2]]}"), "no place"),
    "no npz": (lambda d: text(d / "p.npz", b"PK\3\4 and so on"), "damaged or no .npz"),
    "bomb": (lambda d: bomb(d / "p.npz"), "is cut off or longer than its header says"),
    "pickle": (
        lambda d: npz(d / "p.npz", names=np.array(["a", {}], object), predictions=np.zeros(2)),
        "Python objects, which are not read",
    ),
    "no names": (lambda d: npz(d / "p.npz", predictions=np.zeros((1, 68, 2))), "lacks an array"),
    "2 x 68": (
        lambda d: npz(d / "p.npz", names=np.array(NAMES), predictions=np.zeros((N, 2, 68))),
        "has shape (12, 2, 68)",
    ),
    "open bracket": (
        lambda d: headed(d / "p.npz", "{'descr': ("),
        "has a header that is no header",
    ),
    "minus signs": (lambda d: headed(d / "p.npz", "-" * 9000), "has a header that is no header"),
    "deep header": (lambda d: headed(d / "p.npz", "(" * 9000), "p.npz"),
    "no end of a name": (
        lambda d: headed(
            d / "p.npz", "{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000,)}"
        ),
        "is cut off or longer than its header says",
    ),
    "more faces than numbers": (
        lambda d: headed(
            d / "p.npz", f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**70}, 0, 2)}}"
        ),
        "damaged or no .npz",
    ),
    "txt": (lambda d: text(d / "p.txt", "a"), "in no format that is known"),
    "not there": (lambda d: d / "p.csv", "cannot be read"),
    "empty folder": (lambda d: d, "contains no predictions"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_read_is_one_sentence(
    drf: Drf, bring: Import, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    make, sentence = FILES[kind]
    answer = bring(make(folder))
    assert answer.code == 2
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert untouched(drf, tmp_path)


def test_an_array_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names.npy", bytes(70 * 2**20))
    with pytest.raises(DataError, match=r"has 70 MB unpacked"):
        read_predictions(tmp_path / "p.npz")


def test_a_name_that_is_twice_in_json_is_no_last_one_wins(
    bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    write_predictions(tmp_path / "p.json", "json", NAMES, predicted)
    held = (tmp_path / "p.json").read_text()
    again = json.dumps({NAMES[0]: [[0, 0]] * 68})[1:]
    answer = bring(text(tmp_path / "p.json", held.rstrip()[:-1] + "," + again))
    assert (answer.code, "faces twice (1)" in answer.err) == (2, True)


def test_a_name_that_climbs_is_written_nowhere(tmp_path: Path) -> None:
    for name in ("../out", "/tmp/out", "a/../../out", ""):
        with pytest.raises(DataError, match="leads elsewhere"):
            write_predictions(tmp_path / "p", "pts", [name], np.zeros((1, 68, 2), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--name", " "), "blank name"),
        (("--paper", "javascript:alert(1)"), "begins with https://"),
        (("--note", ""), "--note takes 1 to 2000 characters"),
        (("--box", "gtt"), "gt_jitter"),
        (("--landmarks", "nose-tip"), "no landmark subset"),
        (("--subset", "hellen"), "helen"),
    ],
)
def test_wrong_options_are_one_sentence(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path, options: Any, sentence: str
) -> None:
    answer = bring(csv_of(tmp_path / "p.csv", NAMES, predicted), *options)
    assert answer.code == 2
    assert sentence in answer.err
    assert untouched(drf, tmp_path)


def test_a_paper_once_given_stays(bring: Import, predicted: np.ndarray, tmp_path: Path) -> None:
    file = csv_of(tmp_path / "p.csv", NAMES, predicted)
    bring(file, "--paper", "https://a.org/1")
    answer = bring(file, "--paper", "https://a.org/2")
    assert (answer.code, "with another --paper" in answer.err) == (2, True)


def test_a_failed_write_leaves_nothing(
    drf: Drf,
    bring: Import,
    predicted: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("db.recording.evaluations.store_scores", fail)
    with pytest.raises(BaseException, match="disk I/O"):
        bring(csv_of(tmp_path / "p.csv", NAMES, predicted))
    con = open_reader(tmp_path / "drf.db")
    for table in ("runs", "evaluations", "faces", "predictions"):
        assert con.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    con.close()


def test_an_external_run_has_no_model(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    bring(csv_of(tmp_path / "p.csv", NAMES, predicted))
    for command in (("eval", "theirs"), ("train", "--resume", "theirs")):
        answer = drf(*command)
        assert (answer.code, answer.err.count("\n")) == (3, 1)
        assert "has no model: its predictions were imported" in answer.err


def test_verify_recomputes_every_score(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    answer = drf("verify")
    assert answer.code == 0
    n = len(scores.COLUMNS)
    assert f"{4 * n} scores of 4 evaluations were recomputed" in answer.out
    assert drf("verify", "--json").json["scores"] == 4 * n
    con = sqlite3.connect(tmp_path / "drf.db")
    con.execute(
        "UPDATE scores SET value = value + 1e-8"
        " WHERE evaluation = 2 AND norm = 'box' AND score = 'nme'"
    )
    con.commit()
    con.close()
    answer = drf("verify", "--json")
    assert answer.code == 4
    (fault,) = answer.json["faults"]
    assert (fault["check"], fault["subject"]) == ("scores", "evaluation 2")
    assert "box nme do not follow from the errors (stored: 0." in fault["problem"]


@pytest.mark.parametrize("kind", ["another order", "names exchanged"])
def test_predictions_that_fit_no_face_are_told(predicted: np.ndarray, kind: str) -> None:
    wrong = np.roll(predicted, 1, axis=1) if kind == "another order" else predicted[::-1]
    wrong = wrong + (0 if kind == "another order" else 4)
    (said,) = (s for s in prediction_check.check(NAMES, wrong, TRUTH) if "off by more than" in s)
    assert "are the names, and the order of the landmarks, those of the dataset?" in said


def test_readings_are_told_from_failures_of_a_method(predicted: np.ndarray) -> None:
    failed = predicted.copy()
    failed[:3] = failed[:3] * 0.5 + 3  # it found something else on three of twelve faces
    said = prediction_check.check(NAMES, failed, TRUTH)
    assert not any("exchanged" in sentence for sentence in said)


def test_an_external_method_stands_beside_a_run_with_the_flip_test(
    drf: Drf, bring: Import, predicted: np.ndarray, tmp_path: Path
) -> None:
    file = csv_of(tmp_path / "p.csv", NAMES, predicted)
    bring(file)
    bring(file, "--name", "ours")
    con = sqlite3.connect(tmp_path / "drf.db")
    con.execute("UPDATE runs SET family = 'hourglass', params = 5 WHERE name = 'ours'")
    con.execute(
        "UPDATE evaluations SET flip_test = 1 WHERE run = (SELECT id FROM runs WHERE name = 'ours')"
    )
    con.commit()
    con.close()
    for pair in (("theirs", "ours"), ("ours", "theirs")):
        answer = drf("runs", "diff", *pair, "--json").json
        assert len(answer["scores"]) == 1
        (size,) = (one for one in answer["settings"] if one["key"] == "params")
        assert {size["a"], size["b"]} == {5, None}
    assert "flip test" not in drf("leaderboard").out


def test_a_bundle_of_another_store_is_imported_once(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.db"
    assert drf("export", "--bundle", bundle, "--run", "hourglass-wide").code == 0
    mine = ("--db", tmp_path / "mine.db")
    answer = drf("import", "bundle", bundle, *mine, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["runs"] == [filled[3]]
    again = drf("import", "bundle", bundle, *mine)
    assert again.code == 0
    assert "bundle.db has nothing new" in again.out
    theirs, ours = (drf("leaderboard", *db, "--json").json for db in (("--db", bundle), mine))
    assert [row | {"evaluation": 0} for row in theirs] == [row | {"evaluation": 0} for row in ours]


def test_a_bundle_that_is_none_makes_no_store(drf: Drf, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no store")
    for name, code in (("nowhere.db", 3), ("text.db", 2), (".", 2)):
        refused = drf("import", "bundle", tmp_path / name, "--db", tmp_path / "mine.db")
        assert (refused.code, refused.err.count("\n")) == (code, 1), refused.err
        assert not (tmp_path / "mine.db").exists()


def spiga_file(path: Path, names: list[str], points: np.ndarray) -> Path:
    """Write predictions as SPIGA publishes them for 300-W: pictures in folders of its own, numbers
    of landmarks that it shares between datasets, and the 1-based frame of the annotations."""
    listed = [
        {
            "imgpath": f"images/test/{name.rpartition('/')[2]}.jpg",
            "bbox": [1.5, 2.5, 30.0, 31.0],
            "headpose": [-4.9, -2.8, 5.7, -0.2, -0.1, 2.8],
            "ids": list(range(101, 169)),
            "landmarks": (one + 1).tolist(),
            "visible": [1.0] * 68,
        }
        for name, one in zip(names, points, strict=True)
    ]
    path.write_text(json.dumps(listed))
    return path


def test_spigas_published_form_lands_with_its_own_error(
    drf: Drf, bring: Import, tmp_path: Path
) -> None:
    """Every landmark of a face is 1 px off, to another side for every second face, so that the NME
    is the mean of 1 / d_i. One file has all test faces, whichever subset is asked for."""
    signs = np.where(np.arange(N) % 2, 1.0, -1.0)[:, None, None]
    theirs = np.concatenate([TRUTH + signs * [0.6, 0.8], points_of(ELSEWHERE)[None]])
    file = spiga_file(tmp_path / "results_300wpublic_test.json", [*NAMES, ELSEWHERE], theirs)
    answer = bring(file, "--name", "SPIGA", "--first-pixel", "1", "--json")
    assert answer.code == 0, answer.err
    distance = np.linalg.norm(TRUTH[:, 36] - TRUTH[:, 45], axis=-1)
    assert answer.json["scores"]["ocular"]["nme"] == pytest.approx(
        100 * (1 / distance).mean(), abs=1e-4
    )
    assert "1 faces of the file are in other subsets" in answer.err
    assert "1-based" not in answer.err
    points = tmp_path / "points"
    assert drf("export", "predictions", "SPIGA", "--format", "pts", "--out", points).code == 0
    twice = bring(points, "--name", "again", "--first-pixel", "1")
    assert (twice.code, ".pts files always count from 1" in twice.err) == (2, True)
