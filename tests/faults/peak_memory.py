"""Runs `drf ARGUMENTS` and says how much memory it took.

    python -m tests.faults.peak_memory ARGUMENTS

The last line of stdout is the exit code and the peak in MB.
"""

import resource
import sys

import cli.main

if __name__ == "__main__":
    code: object = 0
    try:
        cli.main.main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.write(f"\n{code} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}\n")
