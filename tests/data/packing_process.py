"""Run by test_cache in a process of its own: python -m tests.data.packing_process ROOT CACHE [N].

Packs ROOT's `train`, N faces of it; prints the peak memory in MB and the digest.
"""

import sys
from pathlib import Path

from drf.data.packs import pack
from drf.data.w300 import W300
from tests.faults.peak_memory import peak_mb

if __name__ == "__main__":
    root, cache, *limit = sys.argv[1:]
    packed = pack(
        W300(Path(root)), "train", "gt", Path(cache), limit=int(limit[0]) if limit else None
    )
    print(peak_mb(), packed.manifest["digest"])
