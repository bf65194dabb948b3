"""1F/U-PC2 Performance Budget Framework: the SLO API, and the budgets of endpoints, pages and pipelines.

Who: teams write what they promise; the deploy gate and on-call read what is left of the budget. KPI: SLO miss < 2 % a quarter, the share
of closed periods that missed their promise (org/chart/1F.yaml).
"""

from __future__ import annotations

from cipo.kernel import Unit

unit = Unit("1F/U-PC2")

PERIOD = unit.fact(
    "slo.period",
    unit="1",
    attrs={"objective": str, "state": str, "start": str},
    help="A full period of an objective ended: 1 if it missed its promise or nobody can say, else 0; by the first published figure.",
)
