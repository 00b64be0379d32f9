"""The version of drf: the one place for it."""

VERSION = "0.2.0"
