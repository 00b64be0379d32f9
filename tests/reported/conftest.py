"""The command line runs here as in its own tests."""

from tests.cli.conftest import drf as drf
