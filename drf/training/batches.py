"""Training faces on the device of the run: augmented batches, and what a model starts from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from drf import errors
from drf.config import RunConfig
from drf.data.augment import augment, identity_affines, mirror_points, random_affines, warp_points
from drf.data.packs import PACK_SIZE, Pack
from drf.landmarks import geometry
from drf.models.base import InitialData

DRAWN = 8192
"""Augmented faces that a model may start from: enough for 2^8 leaves of 32 faces each."""

PICTURES = 256
"""How many of them come with their pictures."""


Batch = tuple[Tensor, Tensor]
"""Augmented images (B, 3, S, S) and the known points (B, K, 2), unit box."""


class Batches:
    """The faces of a pack: crops come from the mapped file, or from a copy in a GPU's memory."""

    def __init__(self, pack: Pack, config: RunConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        known = pack.markup.indices(config.data.landmarks)
        self.known = torch.as_tensor(known, device=device)
        self.flip = torch.tensor(pack.markup.flip, device=device)  # a copy per batch would wait
        self.points = torch.from_numpy(geometry.to_unit(pack.points, PACK_SIZE)).to(device)
        self._mapped = pack.crops
        self._resident = None
        if device.type == "cuda":  # a few hundred MB: no batch waits for the host then
            what = f"{len(pack.names)} training faces on {device}"
            with errors.enough_memory(what, "lower data.max_train_faces or take --device cpu"):
                self._resident = torch.from_numpy(np.array(pack.crops)).to(device)

    def __len__(self) -> int:
        return len(self.points)

    def orders(self, seed: tuple[int, ...], passes: int, streams: int) -> np.ndarray:
        """Return the faces of an epoch in an order for each stream: (streams, passes n) int."""
        random = [np.random.default_rng((*seed, stream)) for stream in range(streams)]
        orders = [[draws.permutation(len(self)) for _ in range(passes)] for draws in random]
        return np.reshape(orders, (streams, -1))

    def generators(self, seed: tuple[int, ...], streams: int) -> list[torch.Generator]:
        """Return the generator that augments the faces of each stream."""
        seeds = [mixed((*seed, stream)) for stream in range(streams)]
        return [torch.Generator(self.device).manual_seed(each) for each in seeds]

    def draw(self, index: np.ndarray, generator: torch.Generator) -> Batch:
        """Return augmented faces: index (B,) int."""
        rows = torch.from_numpy(index)
        if self._resident is None:
            crops = torch.from_numpy(self._mapped[index])
        else:
            # Pinned, or the host would wait for all work before the copy.
            rows = rows.pin_memory().to(self.device, non_blocking=True)
            crops = self._resident[rows]
        points = self.points[rows]
        size = self.config.data.input_size
        images, points = augment(crops, points, self.flip, size, self.config.augment, generator)
        return images, points[:, self.known]

    def initial_data(self, seed: int) -> InitialData:
        """Return what a model sees before its first step; the same for one seed."""
        n = len(self)
        plain = warp_points(self.points, identity_affines(n, self.device))[:, self.known]
        generator = torch.Generator(self.device).manual_seed(seed)
        order = np.random.default_rng(seed).permutation(n)
        images, drawn = self.draw(order[: min(n, PICTURES)], generator)
        rest = torch.from_numpy(np.resize(order, max(n, DRAWN) - len(drawn))).to(self.device)
        maps = random_affines(len(rest), self.config.augment, generator)
        warped = warp_points(self.points[rest], maps)
        more = mirror_points(warped, maps, self.flip)[:, self.known]
        return InitialData(plain, torch.cat([drawn, more]), images)


def mixed(seed: tuple[int, ...]) -> int:
    """One 63-bit seed from some numbers, by numpy's hash: sums of seed and epoch would collide.
    A zero at the end changes nothing."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
