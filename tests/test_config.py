"""Configuration: the later layer wins and is named; what is wrong is said with the way out."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drf import presets, registry
from drf.config import (
    NEW_KEYS,
    Range,
    describe_keys,
    from_flat,
    parse_assignments,
    sections_of,
)
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from experiments.request import Request, configure


def sources(request: Request) -> dict[str, str]:
    return configure(request).sources


def test_layers_in_order_and_named(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nlr = 0.5\nema = 0.5\nbatch_size = 4\n")
    request = Request(
        "hourglass",
        file=file,
        assignments=("training.ema_decay=0.25", "training.batch_size=8"),
        options={"training.batch_size": 16},
    )
    resolved = configure(request)
    training = resolved.config.training
    assert (training.lr, training.ema_decay, training.batch_size) == (0.5, 0.25, 16)
    assert resolved.sources["training.lr"] == "file mine.toml"
    assert resolved.sources["training.ema_decay"] == "--set"
    assert resolved.sources["training.batch_size"] == "option"
    assert resolved.sources["augment.blur"] in ("default", "preset hourglass")
    assert resolved.sources.keys() == resolved.config.flat().keys()


@pytest.mark.parametrize(("key", "value"), NEW_KEYS.items())
def test_a_key_that_older_runs_lack_has_what_they_do_as_its_default(
    key: str, value: object
) -> None:
    """Their checkpoints lack it too, and are read with the default."""
    sections = [sections_of(registry.family(family).config) for family in registry.FAMILIES]
    found = [one.default for of in sections for one in describe_keys(of) if one.name == key]
    assert found
    assert set(found) == {value}


def test_a_track_fixes_its_keys() -> None:
    config = configure(Request("hourglass", track="ten-minutes")).config
    assert config.training.max_minutes == 10
    assert config.data.dataset == "300w"
    with pytest.raises(UsageError, match=r"fixes training\.max_minutes = 10\.0.*--set"):
        configure(
            Request("hourglass", track="ten-minutes", assignments=("training.max_minutes=20",))
        )
    configure(Request("hourglass", track="ten-minutes", options={"data.dataset": "300w"}))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("training.lrr=1", r"unknown key 'training\.lrr'.*did you mean 'training\.lr'"),
        ("model.stakcs=1", r"did you mean 'model\.stacks'"),
        ("training.lr=fast", r"training\.lr takes a number, not 'fast'"),
        ("training.epochs=1.5", r"training\.epochs takes a whole number"),
        ("training.epochs=true", r"training\.epochs takes a whole number"),
        ("training.deterministic=1", r"takes true or false"),
        ("training.batch_size=0", r"value in 1\.\.4096"),
        ("training.lr=nan", r"value in 0\.\.10"),
        ("training.device=tpu", r"one of auto, cpu, cuda"),
        ("data.box=3", r"one of gt, gt_jitter, file"),
        ("training.lr", r"KEY=VALUE"),
        ("=3", r"KEY=VALUE"),
    ],
)
def test_bad_assignments_are_refused_in_one_sentence(word: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        configure(Request("hourglass", assignments=(word,)))
    assert "\n" not in str(caught.value)


def test_a_track_knows_the_old_names_of_its_keys() -> None:
    with pytest.raises(UsageError, match=r"fixes data\.max_train_faces = 0"):
        configure(Request("hourglass", track="ten-minutes", assignments=("data.limit=500",)))


def test_keys_are_described_as_they_are_declared() -> None:
    keys = {key.name: key for key in describe_keys(sections_of(None))}
    lr, box = keys["training.lr"], keys["data.box"]
    assert (lr.type, lr.range, lr.choices, lr.default) == (float, Range(0, 10), (), 3e-3)
    assert (lr.values, lr.sentence) == ("float, 0..10", "Peak learning rate.")
    assert (box.type, box.choices, box.values) == (
        str,
        ("gt", "gt_jitter", "file"),
        "gt, gt_jitter, file",
    )
    assert keys["training.deterministic"].values == "true, false"
    assert next(iter(keys)) == "data.dataset"  # in the order of their declaration


def test_a_hint_that_configurations_do_not_use_is_an_error() -> None:
    @dataclass
    class Odd:
        size: int | None = None

    with pytest.raises(TypeError, match=r"model\.size"):
        describe_keys({"model": Odd})


def test_unknown_names_bring_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'hourglass'"):
        presets.load("hourglas")
    with pytest.raises(UsageError, match="did you mean 'ten-minutes'"):
        presets.track("ten-minute")


def test_broken_files_are_refused(tmp_path) -> None:
    bad = tmp_path / "bad.toml"
    with pytest.raises(UsageError, match="cannot read"):
        configure(Request("hourglass", file=bad))
    bad.write_text("lr = = 1")
    with pytest.raises(UsageError, match="not valid TOML"):
        configure(Request("hourglass", file=bad))
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-16: save it as UTF-8"):
        configure(Request("hourglass", file=bad))


@given(st.floats(1e-6, 1.0), st.integers(1, 64))
def test_assignments_are_read_back_as_written(lr: float, batch: int) -> None:
    values = parse_assignments([f"training.lr={lr!r}", f" training.batch_size = {batch} "])
    assert values == {"training.lr": lr, "training.batch_size": batch}


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_builds_and_survives_its_own_flat_form(name: str) -> None:
    config = configure(Request(name)).config
    model = registry.build(config, IBUG68)
    assert from_flat(config.family, registry.family(config.family).config, config.flat()) == config
    assert registry.count_params(model) >= 0
