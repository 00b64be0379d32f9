"""Every configuration key explains itself, and version 0.1.0's names of keys still work."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest

from drf import presets, registry
from drf.config import (
    OLD_KEYS,
    AugmentConfig,
    DataConfig,
    Range,
    TrainingConfig,
    from_flat,
    resolve,
)

CLASSES = [DataConfig, AugmentConfig, TrainingConfig]
CLASSES += [registry.family(name).config for name in registry.FAMILIES]


@pytest.mark.parametrize("options", CLASSES, ids=lambda options: options.__name__)
def test_every_key_has_one_sentence_and_every_number_a_range(options: type) -> None:
    hints = get_type_hints(options, include_extras=True)
    for field in fields(options):
        hint = hints[field.name]
        assert get_origin(hint) is Annotated, field.name
        (sentence,) = [extra for extra in hint.__metadata__ if isinstance(extra, str)]
        assert sentence[0].isupper() or sentence.split()[0] in ("adamw,",), sentence
        assert sentence.endswith("."), sentence
        assert sentence.replace("e.g. ", "").count(". ") == 0, sentence
        if get_args(hint)[0] in (int, float):
            (bounds,) = [extra for extra in hint.__metadata__ if isinstance(extra, Range)]
            assert field.default in bounds, field.name


def test_old_names_of_keys_have_one_meaning_and_set_it() -> None:
    everything = {
        f"{section}.{field.name}"
        for section, classes in (
            ("data", [DataConfig]),
            ("training", [TrainingConfig]),
            ("model", CLASSES[3:]),
        )
        for options in classes
        for field in fields(options)
    }
    assert set(OLD_KEYS.values()) <= everything
    assert not OLD_KEYS.keys() & everything
    config = from_flat(
        "heatmap-forest",
        registry.family("heatmap-forest").config,
        {"model.reach": 0.2, "model.sigma": 1.5, "model.warmup": 0.3, "data.points": "eyes"},
    )
    assert config.model.window_half_width == 0.2
    assert config.model.label_sigma == 1.5
    assert config.model.routing_warmup == 0.3
    assert config.data.landmarks == "eyes"


def test_presets_use_todays_names_and_say_what_they_are() -> None:
    for name in presets.names():
        preset = presets.load(name)
        assert not preset.values.keys() & OLD_KEYS.keys(), name
        options = registry.family(preset.family).config
        resolve(preset.family, options, [(name, preset.values)])
        assert preset.summary.endswith("."), name
        assert "notes" not in preset.summary
