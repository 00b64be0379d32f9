"""What is written into a store: runs, their curves, leaves and words, evaluations, sweeps, saved
links.
"""
