"""Errors a user can cause. Each carries one sentence to print and an exit code.

Code inside the packages raises these; only `cli.main` turns them into a message on stderr and an
exit status. Anything else that escapes is a bug and keeps its traceback.
"""


class DrfError(Exception):
    """Something failed while working: exit 1."""

    exit_code = 1


class UsageError(DrfError):
    """An option, a configuration key or an input file is wrong: exit 2, before any work starts."""

    exit_code = 2


class DataError(UsageError):
    """A dataset is missing, incomplete or malformed: exit 2."""


class NotFoundError(DrfError):
    """A run, evaluation or picture that was named does not exist, or is ambiguous: exit 3."""

    exit_code = 3


class Diverged(DrfError):
    """Numbers of a model are no longer finite: exit 1. Its argument says which, e.g. "the loss was
    no longer finite"."""

    def __str__(self) -> str:
        return f"{self.args[0]}: the training diverged; train again with a lower training.lr"


class CheckFailed(DrfError):
    """A check ran to its end and found a fault: exit 4."""

    exit_code = 4


class StoreError(UsageError):
    """The database cannot be used as it is (not ours, newer, read-only, network disk): exit 2."""
