"""The contest: `__main__` is the script, the other files its rows, methods, runs and scores."""
