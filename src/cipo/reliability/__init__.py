"""1F SRE Core: what is promised to users, whether it is kept, and who is told when it is not.

Never in touch with 1D, in code as in the chart.
"""

from cipo.kernel import Department
from cipo.reliability import performance as _declares  # noqa: F401 - its modules declare the kinds of the unit
from cipo.reliability.performance import budgets

DEPARTMENT = Department("1F", "reliability", units=(budgets.unit,))

__all__ = ["DEPARTMENT"]
