"""`drf data`: exit codes, one JSON document on stdout, and errors that `cli.main` can print."""

import json

import pytest
from typer.testing import CliRunner

from cli.data import app
from drf.errors import CheckFailed, DataError, UsageError
from tests.data.made_up import write_folder


def run(*args: str):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_check_of_a_sound_tree_exits_with_0(tmp_path):
    write_folder(tmp_path, "afw", 20)
    result = run("check", tmp_path)
    assert result.exit_code == 0, result.output
    assert "folders not found: helen/trainset, lfpw/trainset" in result.stdout
    document = json.loads(run("check", tmp_path, "--json").stdout)
    assert document["n_faults"] == 0
    by_name = {subset["subset"]: subset for subset in document["subsets"]}
    assert by_name["train"]["faces"] + by_name["val"]["faces"] == 20


def test_check_of_a_faulty_tree_exits_with_4_after_its_report(tmp_path):
    write_folder(tmp_path, "afw", 20)
    (tmp_path / "afw/1001_1.jpg").write_bytes(b"no picture")
    result = run("check", tmp_path)
    assert isinstance(result.exception, CheckFailed)
    assert result.exception.exit_code == 4
    assert "1001_1.jpg is truncated or not a picture" in result.stdout
    result = run("check", tmp_path, "--json")
    assert isinstance(result.exception, CheckFailed)
    assert json.loads(result.stdout)["n_faults"] == 1


def test_check_of_no_dataset_is_a_usage_error(tmp_path):
    result = run("check", tmp_path / "gone")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 2


def test_pack_prints_manifests_and_fills_the_cache(tmp_path):
    cache = tmp_path / "cache"
    faces = ("--synthetic-train-size", 5, "--subset", "train", "--box", "gt_jitter")
    args = ("pack", *faces, "--cache", cache)
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    (manifest,) = json.loads(result.stdout)
    assert manifest["faces"] == 5
    assert manifest["box"] == "gt_jitter"
    (folder,) = cache.iterdir()
    before = (folder / "crops.npy").stat().st_mtime_ns
    result = run(*args)
    assert result.stdout == ""
    assert "synthetic train, box gt_jitter: 5 faces" in result.stderr
    assert (folder / "crops.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--dataset", "coco"], "unknown dataset 'coco': use one of synthetic, 300w"),
        (["--dataset", "300w"], "name it with --data-root, or set the variable DRF_DATA"),
        (["--synthetic-train-size", "0"], "size >= 1"),
        (["--subset", "test"], "no subset 'test': use one of train, val, common, challenging"),
        (["--box", "tight"], "unknown box protocol 'tight': use one of gt, gt_jitter, file"),
        (["--box", "file"], "name it with --box-file"),
        (["--max-faces", "0"], "use 1 or more"),
    ],
)
def test_pack_refuses_in_one_sentence(tmp_path, monkeypatch, args, sentence):
    monkeypatch.delenv("DRF_DATA", raising=False)
    result = run("pack", "--cache", tmp_path, *args)
    assert isinstance(result.exception, UsageError)
    assert sentence in str(result.exception)
    assert not list(tmp_path.iterdir())
