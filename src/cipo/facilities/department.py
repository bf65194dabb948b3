"""1A's units, by name."""

from cipo.facilities import warehouse as _declares  # noqa: F401 - its modules declare the kinds of the units below
from cipo.facilities.warehouse import cmdb, inbound
from cipo.kernel import Department

DEPARTMENT = Department("1A", "facilities", units=(inbound.unit, cmdb.unit))
