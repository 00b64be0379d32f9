"""Runs `drf ARGUMENTS` and says how much memory it took.

    python -m tests.faults.peak_memory ARGUMENTS

The last line of stdout is the exit code and the peak in MB.
"""

import re
import resource
import sys
from pathlib import Path

import cli.main


def peak_mb() -> float:
    """Return the most memory that this process had since its program began, in MB.

    What `getrusage` says begins with what the process that started this one had.
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    code: object = 0
    try:
        cli.main.main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.write(f"\n{code} {peak_mb():.0f}\n")
