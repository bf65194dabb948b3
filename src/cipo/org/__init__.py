"""The org chart as code: who is in it, who may ask whom, and what everybody promised.

``load()`` reads the YAML under ``chart/`` into frozen models; ``authz.ChartAuthorizer`` answers every question of access from it;
``check`` compares it with the units that are really built; ``kinds`` shows it as resources.
"""

from cipo.org.chart import CIPO, Chart, load
from cipo.org.errors import ChartError

__all__ = ["CIPO", "Chart", "ChartError", "load"]
