"""What trains, evaluates and records: a request becomes a run in the store.

The command line, the benchmarks and notebooks use the same functions. `request` says what is
wanted, `train` and `evaluate` do it, `recorder` writes to the store while a run goes on, `paths`
names where everything lies and brings the faces. Imports drf and db, not the command line.
"""
