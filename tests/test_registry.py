"""Families of other packages are found by their entry points, and imported when asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from drf import registry
from drf.config import from_flat
from drf.landmarks.markup import IBUG68

PLUGIN = """
from dataclasses import dataclass
import torch
from drf.models.base import LandmarkModel

@dataclass(frozen=True)
class Options:
    place: float = 0.25

class Fixed(LandmarkModel):
    Config = Options
    def __init__(self, config, spec):
        super().__init__(spec)
        self.place = config.place
    def forward(self, images):
        return torch.full((len(images), self.spec.n_points, 2), self.place)
    def loss(self, outputs, points):
        return (outputs - points).abs().mean(), {}
    def points(self, outputs):
        return outputs
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An installed package that registers the family "fixed"."""
    (tmp_path / "fixed_family.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "fixed_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fixed-family\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[drf.families]\nfixed = fixed_family:Fixed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.families.cache_clear()
    yield "fixed"
    registry.families.cache_clear()


def test_a_family_of_another_package(plugin: str) -> None:
    assert [e.value for e in metadata.entry_points(group=registry.ENTRY_POINTS)] == [
        "fixed_family:Fixed"
    ]
    config = from_flat(plugin, registry.family(plugin).config, {"model.place": 0.5})
    model = registry.build(config, IBUG68)
    assert type(model).__name__ == "Fixed"
    assert registry.families().keys() == {plugin, *registry.FAMILIES}


def test_no_family_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from drf import registry; registry.family('hourglass');"
        " families = {where.partition(':')[0] for where in registry.FAMILIES.values()};"
        " print(sorted(families & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(found.stdout) == ["drf.models.hourglass"]
