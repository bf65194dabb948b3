"""The kinds of 1F that other departments may refer to, watch and read, as far as the chart lets them."""

from cipo.reliability.performance.service_level_objective import ServiceLevelObjective

__all__ = ["ServiceLevelObjective"]
