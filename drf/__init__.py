"""The science of drf: landmarks, metrics, data, models, training. Imports none of the other packages."""

__version__ = "0.1.0"
