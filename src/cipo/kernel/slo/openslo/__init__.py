"""OpenSLO v1 (github.com/OpenSLO/OpenSLO): multi-document YAML to ``Document`` and back, without loss.

``read`` takes all documents or none and tells every problem at once; ``write`` puts what OpenSLO cannot say into annotations
``cipo.dev/*`` (``said``), so that reading what was written gives the same again.
"""

from cipo.kernel.slo.openslo.bundle import Bundle, Definition, OpenSLOError, Problem
from cipo.kernel.slo.openslo.reading import read
from cipo.kernel.slo.openslo.writing import write

__all__ = ["Bundle", "Definition", "OpenSLOError", "Problem", "read", "write"]
