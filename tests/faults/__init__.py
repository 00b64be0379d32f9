"""What breaks tools of this kind, made on purpose and by the thousand: a seeded harness of faults.

Kills, hostile stores, mutated bytes, a full disk: every module makes one kind of fault. A short
part of each runs with the other tests; the long part is marked `slow`. `DRF_FAULTS` says how many
faults the long part makes and `DRF_FAULT_SEED` with which seed it begins:

    DRF_FAULTS=300 python -m pytest -m slow tests/faults/test_hostile_stores.py

A fault is made from its number alone, so a failure that names one is repeated with it as the seed
and one fault. `docs/reliability.md` has the figures of the last long runs; `make faults` runs them.
"""
