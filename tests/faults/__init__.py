"""Faults: kills, hostile stores, mutated bytes, a full disk. `make faults` runs the long parts."""
