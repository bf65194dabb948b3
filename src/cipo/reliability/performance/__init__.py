"""F-4 Performance & Capacity Reliability: U-PC2 keeps the budgets. Importing it declares its kinds and reconcilers."""

from cipo.reliability.performance import service_level_objective

__all__ = ["service_level_objective"]
