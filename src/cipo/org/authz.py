"""Who may do what: the org chart's answer to every request. ``Resources`` asks it on each path, so there is one place to look.

Rules in order, the first that decides wins, and the answer names it:

1. ``system``            the kernel itself
2. ``boundary:forbid``   a pair that never meets (1F and 1D)
3. ``boundary:sole``     what one department alone may write
4. ``chart``             the chart's own kinds are written by a reviewed change of the YAML only; ``admin`` kinds by the CIPO only
5. ``owner``             a unit does everything on its own kinds
6. ``lead``              squad and department leads and the CIPO read all below them, and do the actions marked for approval
7. ``contract``          an edge of the chart, in force
8. ``public``            kinds that any signed-in caller may read
9. ``no-contract``       everything else is refused, naming the missing edge

A decision is pure and remembered; it depends on the acting office, the kind and the verb, never on the object.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from cipo.kernel.errors import ApiError, BadRequest, Forbidden
from cipo.kernel.principal import Caller, Decision
from cipo.org.chart import CIPO, Chart
from cipo.org.edges import Edges
from cipo.org.model import READ, VERBS, Boundary
from cipo.org.refusals import Question, denied_by_boundary, no_contract

CHART_GROUP: Final = "org.cipo"
MEMORY: Final = 65_536
"""Decisions remembered: 82 units times some 300 kinds times 8 verbs would be more, but few of those are ever asked."""


class KindLike(Protocol):
    """The part of ``KindInfo`` that a decision reads."""

    @property
    def kind(self) -> str:
        """``Asset``."""

    @property
    def group(self) -> str:
        """``facilities.cipo``."""

    @property
    def gk(self) -> str:
        """``Asset.facilities.cipo``."""

    @property
    def unit(self) -> str:
        """The owner, ``1A/U-W2``."""

    @property
    def public(self) -> bool:
        """Readable by any signed-in caller."""


class ChartAuthorizer:
    """The ``Authorizer`` of the kernel over one chart."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.edges = Edges(chart)
        self.judge: Callable[[str, Question], Decision] = lru_cache(maxsize=MEMORY)(self._decide)
        """The answer for one acting office, remembered."""

    # What the kernel asks -------------------------------------------------------------------------------------------

    def decide(self, caller: Caller, verb: str, kind: KindLike, action: str | None = None) -> Decision:
        """May this caller do this verb on this kind? Raises when the acting unit itself is wrong or missing."""
        if verb not in VERBS:
            raise BadRequest(f"{verb!r} is not a verb; the verbs are {', '.join(VERBS)}")
        if caller.principal.kind == "system":
            return Decision(True, "system", "the system itself", caller.unit or kind.unit)
        question = self.question(verb, kind, action)
        if caller.unit:
            return self.judge(self._held(caller, self._office(caller.unit)), question)
        return self._unnamed(caller, question)

    def decide_names(self, unit: str, verb: str, kind: str, department: str, action: str | None = None) -> Decision:
        """The same by names alone: for kinds that no code has registered yet, and for drawing the whole matrix."""
        if verb not in VERBS:
            raise BadRequest(f"{verb!r} is not a verb; the verbs are {', '.join(VERBS)}")
        owner = self.chart.owner_of(department, kind) or ""
        return self.judge(unit, Question(verb, action, kind, owner, department))

    def hidden(self, caller: Caller) -> frozenset[str]:
        """Departments of which not one row may reach this caller, on any path.

        A caller that names no unit is hidden what *any* of its units may not see, unless it belongs to that department too or is
        the CIPO: so nothing leaks to somebody who holds a unit of 1F beside another.
        """
        if caller.principal.kind == "system":
            return frozenset()
        offices = {self._office(caller.unit)} if caller.unit else {*caller.principal.units, *caller.principal.leads}
        if CIPO in offices:
            return frozenset()
        shut = frozenset(department for office in offices for department in self.edges.shut(office))
        return shut - {self.chart.department_of(office) for office in offices}

    # Acting as whom -------------------------------------------------------------------------------------------------

    def _office(self, named: str) -> str:
        """The qualified id of what a caller named; a bare ambiguous id is refused with all it could mean."""
        return named if "/" in named or self.chart.above(named) else self.chart.resolve(named).id

    def _held(self, caller: Caller, named: str) -> str:
        """The office a caller named, if it is the caller's."""
        held = caller.principal.units | caller.principal.leads
        if named in held:
            return named
        above = self.chart.above(named) if not self.chart.has_unit(named) else ()
        if caller.principal.leads.intersection(above):
            return named  # the lead of a department stands for its squads too
        raise Forbidden(
            f"{caller.principal.name} may not act as {named}: it holds {_listed(held)}; leave the unit out or name one of these"
        )

    def _unnamed(self, caller: Caller, question: Question) -> Decision:
        """Nobody was named: the owner if held, the only unit, or the nearest office that leads the owner."""
        units, leads = caller.principal.units, caller.principal.leads
        fixed = self._obvious(units, leads, question)
        if fixed is not None:
            return self.judge(fixed, question)
        decision = self.judge(next(iter(units)), question) if len(units) == 1 else None
        if decision and decision.allowed:
            return decision
        lead = next((office for office in (*self.chart.above(question.owner), CIPO) if office in leads), None)
        if lead and (question.verb in READ or question.approve):
            return self.judge(lead, question)
        if decision:
            return decision
        if question.public and question.verb in READ:
            return self.judge(min(units | leads, default=""), question)
        raise _nobody(caller, question)

    def _obvious(self, units: frozenset[str], leads: frozenset[str], question: Question) -> str | None:
        """Who must be meant, whatever else the caller holds."""
        writes = question.verb not in READ
        if question.admin and writes and CIPO in leads:
            return CIPO
        if question.owner in units or question.owner in leads:
            return question.owner
        return "" if writes and question.group == CHART_GROUP else None  # refused whoever asks: no need to choose first

    # The rules ------------------------------------------------------------------------------------------------------

    def question(self, verb: str, kind: KindLike, action: str | None = None) -> Question:
        """What the rules look at of a registered kind."""
        department = self.chart.department_of(kind.unit) or self.chart.group_department(kind.group) or ""
        approve = bool(verb == "act" and action and _approves(kind, action))
        admin = bool(getattr(kind, "admin", False))
        return Question(verb, action, kind.kind, kind.unit, department, kind.group, kind.public, approve, admin)

    def _decide(self, acting: str, question: Question) -> Decision:
        decision = self._guard(acting, question) or self._right(acting, question)
        return decision or Decision(False, "no-contract", no_contract(self.chart, self.edges, acting, question), acting)

    def _guard(self, acting: str, question: Question) -> Decision | None:
        """What no right overrides."""
        if acting and not self.chart.above(acting) and acting != question.owner:
            return Decision(False, "unknown-unit", f"{acting} is not in the org chart; ask the CIPO which unit took over", acting)
        boundary = self._boundary(acting, question)
        if boundary or question.verb in READ:
            return boundary
        if question.group == CHART_GROUP:
            why = f"{question.kind} is read from the org chart; change its YAML (CIPO_CHART, a reviewed change of the CIPO) instead"
            return Decision(False, "chart", why, acting)
        if question.admin:
            kept = f"the CIPO keeps {question.kind}" if acting == CIPO else f"only the CIPO may {question.words}"
            return Decision(acting == CIPO, "admin", kept, acting)
        return None

    def _right(self, acting: str, question: Question) -> Decision | None:
        """What the caller may, by what it is or by agreement."""
        read = question.verb in READ
        if acting and acting == question.owner:
            return Decision(True, "owner", f"{acting} owns {question.kind}", acting)
        if (read or question.approve) and not self.chart.has_unit(acting) and self._leads(acting, question):
            return Decision(True, "lead", f"{acting} {'reads' if read else 'approves'} what lies below it", acting)
        edge = self.edges.granting(acting, question)
        if edge:
            return Decision(True, "contract", f"contract {edge}: {edge.why}", acting)
        if question.public and read:
            return Decision(True, "public", f"{question.kind} is public", acting)
        return None

    def _boundary(self, acting: str, question: Question) -> Decision | None:
        for rule in self.edges.forbidding(acting):
            if self._forbids(rule, question):
                return Decision(False, "boundary:forbid", denied_by_boundary(acting, question, rule), acting)
        for rule in self.edges.sole(question.kind):
            if question.verb in (rule.verbs or ()) and self.chart.department_of(acting) != rule.sole:
                return Decision(False, "boundary:sole", denied_by_boundary(acting, question, rule), acting)
        return None

    def _forbids(self, boundary: Boundary, question: Question) -> bool:
        rule = boundary.forbid
        if rule is None or (rule.kinds is not None and question.kind not in rule.kinds):
            return False
        if rule.verbs is not None and question.verb not in rule.verbs:
            return False
        if self.chart.has_unit(question.owner):
            return self.chart.within(question.owner, rule.provider)
        return bool(question.department) and question.department == rule.provider[:2]  # owner unknown: the whole department counts

    def _leads(self, office: str, question: Question) -> bool:
        if office == CIPO:
            return True
        return self.chart.within(question.owner, office) or (not question.owner and office == question.department)


def may(authorizer: ChartAuthorizer, caller: Caller, verb: str, kind: KindLike, action: str | None = None) -> bool:
    """A plain yes or no, for menus and search: a caller without a usable unit may not."""
    try:
        return authorizer.decide(caller, verb, kind, action).allowed
    except ApiError:
        return False


def _approves(kind: KindLike, action: str) -> bool:
    """Whether a registered kind marks this action for leads."""
    actions: dict[str, Any] = getattr(kind, "actions", {})
    return bool(getattr(actions.get(action), "approve", False))


def _nobody(caller: Caller, question: Question) -> BadRequest | Forbidden:
    """Why no acting office could be found for a caller that named none."""
    who, units, leads = caller.principal.name, caller.principal.units, caller.principal.leads
    if units:
        return BadRequest(f"{who} holds {_listed(units)}; say as which one to {question.words}: header Cipo-Unit or ?asUnit=")
    if leads:
        why = f"leads {_listed(leads)}, which reads what lies below it; to {question.words} it must hold a unit"
        return Forbidden(f"{who} {why}; ask the CIPO for one")
    return Forbidden(f"{who} holds no unit; ask the CIPO for one")


def _listed(offices: frozenset[str] | set[str]) -> str:
    names = sorted(offices)
    return f"{', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}" if names else "none"
