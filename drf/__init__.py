"""The science: landmarks, metrics, data, models, training. It imports nothing else of ours."""

__version__ = "0.2.0"
