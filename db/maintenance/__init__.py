"""Whole files: backups, checks, pruning, and stores that are sent to others and merged."""
