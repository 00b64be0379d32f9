"""The store: one SQLite file that holds runs, curves, evaluations, per-image predictions and crops.

`connection` opens it, `runs` and `evaluations` write, `reads` returns runs and boards as
DataFrames, `predictions` and `faces` what single faces have, `gallery` what a run looks like from
inside, `configs` what runs were made with, `entries` turns a leaderboard row into JSON, `status`
says whether a run still lives, `integrity` checks the whole.
The schema is in `migrations`, the part of it that follows from the tables of `drf.scores` in
`derived`, which also gives older evaluations the scores that are new. docs/store.md explains all
tables. Imports no module of `drf` that needs torch.
"""
