"""cipo's kernel: what a unit's module imports. Everything else below this package is the kernel's own business.

The names are loaded on first use: the supervisor imports ``cipo.kernel.settings`` and must not pay for models it never touches.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cipo.kernel.ctx import Ctx
    from cipo.kernel.engine.outcome import Again, Done
    from cipo.kernel.errors import Blocked, Unavailable
    from cipo.kernel.models import Claim, Column, Condition, Kind, Model, RangeClaim, Ref, Status, field
    from cipo.kernel.unit import Department, Fact, Unit, slug

API = 1  # version of this contract with third-party units

_HOME = {
    "ctx": ("Ctx",),
    "engine.outcome": ("Again", "Done"),
    "errors": ("Blocked", "Unavailable"),
    "models": ("Claim", "Column", "Condition", "Kind", "Model", "RangeClaim", "Ref", "Status", "field"),
    "unit": ("Department", "Fact", "Unit", "slug"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "API",
    "Again",
    "Blocked",
    "Claim",
    "Column",
    "Condition",
    "Ctx",
    "Department",
    "Done",
    "Fact",
    "Kind",
    "Model",
    "RangeClaim",
    "Ref",
    "Status",
    "Unavailable",
    "Unit",
    "field",
    "slug",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value
