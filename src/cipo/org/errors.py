"""What can be wrong with a chart, or with a name somebody says.

A ``ChartError`` stops the start: it lists every problem at once, each with file, path, value and remedy. The two lookup errors are
``BadRequest``: they reach the person who typed a name.
"""

from __future__ import annotations

from dataclasses import dataclass

from cipo.kernel.errors import BadRequest, CipoError


@dataclass(frozen=True, slots=True)
class ChartProblem:
    """One wrong place in a chart file."""

    file: str
    path: str
    value: str
    why: str

    def __str__(self) -> str:
        shown = f" = {self.value!r}" if self.value else ""
        where = f"{self.file}: {self.path}" if self.path else self.file
        return f"{where}{shown}: {self.why}"


class ChartError(CipoError):
    """The chart cannot be used; nothing of it is loaded."""

    def __init__(self, problems: list[ChartProblem]) -> None:
        self.problems = tuple(problems)
        shown = "\n".join(f"  {problem}" for problem in self.problems[:30])
        more = f"\n  … and {len(self.problems) - 30} more" if len(self.problems) > 30 else ""
        super().__init__(f"the org chart has {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}:\n{shown}{more}")


class UnknownName(BadRequest):
    """A department, squad, unit or KPI that is not in the chart; the message offers the nearest."""


class AmbiguousName(BadRequest):
    """A bare id that two departments use; the message lists both."""
