"""The parts of benchmarks/contest.py: its rows, their runs, dlib's ERT, the table, the figure."""
