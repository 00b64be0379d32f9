"""Packs for a configuration, with progress on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drf.config import RunConfig
from drf.data.packs import Pack, pack
from drf.data.sources import open_dataset
from experiments.progress import bar

if TYPE_CHECKING:
    from experiments.paths import Paths


def load_packs(
    config: RunConfig, subsets: Sequence[str], places: Paths, box: str | None = None
) -> list[Pack]:
    """Return packs of subsets of the run's dataset, made now where the cache has none.

    The limit on faces counts for `train` alone. box: in place of the run's own protocol.
    """
    data = config.data
    dataset = open_dataset(data.dataset, places.data_root, seed=data.seed, size=data.size)
    packs = []
    for subset in subsets:
        with bar(f"packing {subset}") as advance:
            packed = pack(
                dataset,
                subset,
                box or data.box,
                places.cache,
                box_file=places.box_file,
                limit=(data.limit or None) if subset == "train" else None,
                progress=advance,
            )
        packs.append(packed)
    return packs
