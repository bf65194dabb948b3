"""What a refused caller reads: who asked for what, which rule said no, and what to do about it.

Kept apart from the rules so that the sentences can be read, and improved, side by side. ``Question`` is what both share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cipo.org.model import READ, Boundary

if TYPE_CHECKING:
    from cipo.org.chart import Chart
    from cipo.org.edges import Edges


class Question(NamedTuple):
    """What somebody wants to do: the verb (with its action), and all that the rules look at of the kind."""

    verb: str
    action: str | None
    kind: str
    owner: str
    department: str
    group: str = ""
    public: bool = False
    approve: bool = False
    admin: bool = False

    @property
    def words(self) -> str:
        """The request in words: ``read Topic of 1D``, ``do reserve on NodePool of 1B``."""
        of = f" of {self.department}" if self.department else ""
        if self.verb in READ:
            return f"read {self.kind}{of}"
        if self.verb == "act":
            return f"do {self.action or 'an action'} on {self.kind}{of}"
        return f"{self.verb} {self.kind}{of}"

    @property
    def verb_in_chart(self) -> str:
        """How a contract would write the verb."""
        if self.verb in READ:
            return "read"
        return f"act:{self.action}" if self.verb == "act" and self.action else self.verb


def denied_by_boundary(acting: str, question: Question, rule: Boundary) -> str:
    """A boundary: no contract helps, so say what does."""
    no = f"{_named(acting)} has no contract to {question.words}" if rule.forbid else f"{_named(acting)} may not {question.words}"
    who = "" if rule.forbid else f"only {rule.sole} writes {question.kind}: "
    todo = f" Instead: {rule.instead}." if rule.instead else ""
    return f"{no}; {who}{rule.why.rstrip('.')}.{todo} Boundary in {rule.file}: the CIPO alone can amend it."


def no_contract(chart: Chart, edges: Edges, acting: str, question: Question) -> str:
    """No edge: name the one that is missing, what is there already, and where it would be written."""
    head = f"{_named(acting) if acting else 'this caller'} has no contract to {question.words}"
    waiting = edges.pending(acting, question)
    if waiting:
        return f"{head}: the contract {waiting} ({waiting.why}) waits for the CIPO's approval in {acting[:2]}.yaml."
    if not question.owner and question.department and chart.department_of(acting) == question.department:
        return f"{head}: no unit of {question.department} lists the kind {question.kind}; add it to the unit that serves it."
    has = edges.between(acting, question)
    have = f" It may {', '.join(has)}." if has else ""
    if not chart.has_unit(acting):
        return f"{head}.{have} A lead reads what lies below it; to write, act as a unit."
    provider = question.owner if chart.has_unit(question.owner) else question.department
    if not provider:
        return f"{head}.{have} The kind belongs to the platform itself; the CIPO or a service account of his does this."
    edge = f"{{from: {acting}, to: {provider}, kinds: {{{question.kind}: [{question.verb_in_chart}]}}}}"
    return f"{head}.{have} To ask for one, propose {edge} in {acting[:2]}.yaml; the CIPO approves it."


def _named(office: str) -> str:
    """``U-OB1 (1F)``; an office without a short form by its id."""
    return f"{office[3:]} ({office[:2]})" if office[2:3] == "/" else office
