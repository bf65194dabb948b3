"""The departments whose code is part of this installation, by name: nothing scans packages.

A department of the chart that is not listed here, or a unit that its department does not list, is shown as not staffed.
"""

from __future__ import annotations

from cipo import facilities, reliability
from cipo.kernel.unit import Department

DEPARTMENTS: tuple[Department, ...] = (facilities.DEPARTMENT, reliability.DEPARTMENT)
