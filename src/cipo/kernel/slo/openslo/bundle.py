"""What a set of OpenSLO documents holds, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cipo.kernel.errors import CipoError
from cipo.kernel.slo.document import Document

SHOWN = 30


@dataclass(frozen=True, slots=True)
class Definition:
    """What SLOs refer to and the engine does not read: an alert policy, a condition, a target, a data source, a service, a spare SLI.

    ``body`` is the checked document as canonical JSON.
    """

    kind: str
    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """SLOs and the definitions around them, in the order of the file."""

    documents: tuple[Document, ...]
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong place: in which document (from 1), at which field, what stands there, and what would be right."""

    document: int
    field: str
    value: str
    why: str

    def __str__(self) -> str:
        where = f"document {self.document}: {self.field}" if self.field else f"document {self.document}"
        return f"{where} = {self.value!r}: {self.why}" if self.value else f"{where}: {self.why}"


class OpenSLOError(CipoError):
    """The text cannot be taken; nothing of it is."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        shown = "\n".join(f"  {problem}" for problem in self.problems[:SHOWN])
        more = f"\n  … and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
        super().__init__(f"the SLOs have {len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}:\n{shown}{more}")
