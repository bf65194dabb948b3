"""cipo: an infrastructure organisation as running software."""

__version__ = "0.1.0"
