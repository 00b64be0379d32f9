"""The tables of a store: the steps that make them, what a file declares, and the scores that follow
from `drf.scoring.scores`.
"""
