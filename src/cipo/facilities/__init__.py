"""1A Facilities & Physical Infrastructure: every physical thing is one asset, from order to disposal.

``DEPARTMENT`` is loaded on first use: the sample world (``world.py``) lives in this package too, and the lab's process, which imports it,
must stay small and hold none of the organisation's own code.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cipo.kernel import Department

    DEPARTMENT: Department

__all__ = ["DEPARTMENT"]


def __getattr__(name: str) -> object:
    if name != "DEPARTMENT":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cipo.facilities.department import DEPARTMENT  # noqa: PLC0415 - see above

    return DEPARTMENT
