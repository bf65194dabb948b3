"""Measurements: cipo beside Nautobot on one PostgreSQL, and cipo alone against its own limits. ``python -m bench --help``."""
