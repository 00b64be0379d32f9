"""The faces of a run: its dataset, and packs of subsets with progress on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drf.config import RunConfig
from drf.data.dataset import Dataset
from drf.data.packs import Pack, pack
from drf.data.sources import open_dataset
from experiments.paths import Paths
from experiments.progress import bar


def dataset_of(config: RunConfig, paths: Paths) -> Dataset:
    """Return the dataset of a configuration. Raises as `open_dataset`."""
    data = config.data
    return open_dataset(
        data.dataset, paths.data_root, seed=data.synthetic_seed, size=data.synthetic_train_size
    )


def load_packs(
    config: RunConfig, subsets: Sequence[str], paths: Paths, box: str | None = None
) -> list[Pack]:
    """Return packs of subsets of the run's dataset, made now where the cache has none.

    data.max_train_faces limits `train` alone. box: in place of the run's own protocol.
    """
    dataset, most = dataset_of(config, paths), config.data.max_train_faces or None
    return [
        load_pack(
            dataset, subset, box or config.data.box, paths, most if subset == "train" else None
        )
        for subset in subsets
    ]


def load_pack(
    dataset: Dataset, subset: str, box: str, paths: Paths, limit: int | None = None
) -> Pack:
    """Return the pack of one subset, made now if the cache has none. Raises as `pack`."""
    with bar(f"packing {subset}") as advance:
        packed = pack(
            dataset,
            subset,
            box,
            paths.cache,
            box_file=paths.boxes_for(box),
            limit=limit,
            progress=advance,
        )
    if packed.manifest["box"] == "file":
        packed = replace(packed, manifest=packed.manifest | {"box_name": paths.name_of_boxes()})
    return packed
