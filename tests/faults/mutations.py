"""Damage to bytes, made from a number: the same number makes the same damage."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

ODD_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
ODD_NUMBERS = (b"nan", b"inf", b"-1", b"1e999", b"0", b"1e-320", b"9" * 5000, b"[" * 3000, b"null")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(KINDS)(data, rng)
    return data


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut_off(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 16, 1000))) + data[at:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 20)) + data[end:]


def _zero(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _move(data: bytes, rng: random.Random) -> bytes:
    """Write one part of the bytes over another."""
    start, end = _part(data, rng)
    at = rng.randrange(len(data) + 1)
    return (data[:at] + data[start:end] + data[at + end - start :])[: len(data)]


def _set_integer(data: bytes, rng: random.Random) -> bytes:
    """Set a field of the header, where headers are, to a number at the edge of its range."""
    size = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(min(len(data), rng.choice((32, 128, 1024))) - size, 1))
    value = rng.choice(ODD_INTEGERS) % 256**size
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def _set_number(data: bytes, rng: random.Random) -> bytes:
    """Set a number of a text to one that a parser may not expect."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data[:20_000]))
    if not numbers:
        return _set_integer(data, rng)
    chosen = rng.choice(numbers)
    return data[: chosen.start()] + rng.choice(ODD_NUMBERS) + data[chosen.end() :]


def _part(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(start + rng.choice((1, 4, 64, 1024, 10_000)), len(data))


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip_bits, _cut_off, _insert, _repeat, _zero, _remove, _move, _set_integer, _set_number),
)
