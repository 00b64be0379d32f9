"""Reads damaged files with every reader, as a process.

    python -m tests.faults.damaged_files FOLDER FIRST N READER…

Damages FIRST to FIRST + N - 1 of each reader's file are read; a line of JSON for each reader says
what came of them. It is a process of its own because its memory is measured, and because a library
that crashes must not end the tests.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drf.errors import DrfError
from tests.faults.mutations import mutated
from tests.faults.peak_memory import peak_mb
from tests.faults.readers import own_readers
from tests.faults.readers_of_others import others_readers

READERS = own_readers() | others_readers()
BY_COMMANDS = ("store", "bundle", "bundle, imported", "arrays of the store")
"""Readers that run whole commands, which take longer."""


@dataclass
class Outcome:
    """What came of the damages of a reader's file.

    bugs      damage -> the exception that was no sentence
    peak_mb   memory of the process up to then
    longest_s of computing, for one damage
    """

    reader: str
    first: int
    values: int = 0
    refused: int = 0
    bugs: dict[int, str] = field(default_factory=dict)
    longest_s: float = 0.0
    peak_mb: float = 0.0


def outcome_of(name: str, folder: Path, first: int, n: int) -> Outcome:
    """Read n damaged files in a folder, and say what came of it."""
    reader, found = READERS[name], Outcome(name, first)
    folder.mkdir()
    reader.make(folder)
    path = folder / reader.file
    whole = path.read_bytes()
    reader.read(folder)  # before anything is damaged it is read without an error
    for number in range(first, first + n):
        path.write_bytes(mutated(whole, random.Random(f"{name} {number}")))
        began = time.process_time()
        try:
            reader.read(folder)
            found.values += 1
        except DrfError:
            found.refused += 1
        except BaseException as error:
            found.bugs[number] = f"{type(error).__name__}: {error}"[:200]
        found.longest_s = max(found.longest_s, time.process_time() - began)
    found.peak_mb = peak_mb()
    return found


if __name__ == "__main__":
    place, first, n, *names = sys.argv[1:]
    for name in names or READERS:
        outcome = outcome_of(name, Path(place) / name.replace(":", ""), int(first), int(n))
        print(json.dumps(asdict(outcome)), flush=True)
