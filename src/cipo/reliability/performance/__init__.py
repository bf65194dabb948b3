"""F-4 Performance & Capacity Reliability: U-PC2 keeps the budgets. Importing it declares its kinds, reconcilers and pictures."""

from cipo.reliability.performance import course_picture, service_level_objective

__all__ = ["course_picture", "service_level_objective"]
