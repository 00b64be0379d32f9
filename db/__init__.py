"""The store: one SQLite file that holds runs, curves, evaluations, per-image predictions and crops.

`connection` opens it, `runs` and `evaluations` write, `reads` returns DataFrames, `gallery` does
both for what a run looks like from inside, `entries` turns a leaderboard row into JSON, `status`
says whether a run still lives, `integrity` checks the whole.
The schema is in `migrations` and is explained in docs/store.md. Imports no module of `drf` that
needs torch.
"""
