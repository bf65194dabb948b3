"""Tramline's buildings and machines: data in YAML, and the pure functions that turn it into a plan and a physical world."""
