"""The store: one SQLite file that holds runs, curves, evaluations, per-image predictions and crops.

`connection` opens it, `recording` writes, `reads` returns runs and boards as DataFrames, `status`
says how a run stands, `boards` makes the rows of a leaderboard, `analysis` compares runs,
`maintenance` checks, copies and merges whole files. The schema is in `tables`, with the part of it
that follows from `drf.scoring.scores`. How arrays are stored is in `arrays`, `faces` and
`predictions`. docs/store.md explains all tables. Imports no module of `drf` that needs torch.
"""
