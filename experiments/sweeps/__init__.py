"""Sweeps: a grid file becomes jobs, and each job a run.

`grid` reads the file, `work` brings one job to its end, `local`, `on_ray` and `on_slurm` do so with
many, `driver` is what the command line calls.
"""
