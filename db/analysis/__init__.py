"""Comparisons of runs: what may be compared, by which test, in what they differ, and what made the
difference.
"""
