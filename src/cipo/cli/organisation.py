"""``cipo org`` and ``cipo check``: the chart itself, read from its files; no server is needed.

``org`` shows who is in the organisation and what was promised, in the chart's words; ``org can`` asks its rules; ``check`` compares code
with chart, for CI.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import settings
from cipo.cli.errors import Failed, Usage
from cipo.cli.output import Format, Output

if TYPE_CHECKING:
    from rich.tree import Tree

    from cipo.kernel.unit import Registry
    from cipo.org.chart import Chart
    from cipo.org.model import Department, Kpi, Squad

org = typer.Typer(help="The org chart: departments, squads, units, promises and contracts.")
Json = dict[str, Any]
STANDARD = ("get", "list", "watch", "create", "update", "patch", "delete")


@org.callback(invoke_without_command=True)
def show(ctx: typer.Context, how: Output = Format.TABLE) -> None:
    """Show the whole chart as a tree, or as data with -o json."""
    if ctx.invoked_subcommand is None:
        tree(how=how)


@org.command("tree")
def tree(
    office: Annotated[str, typer.Argument(metavar="[DEPARTMENT]", help="Only this department, such as 1A.")] = "",
    promises: Annotated[bool, typer.Option("--promises", help="Also how each promise is measured, and why that is honest.")] = False,
    how: Output = Format.TABLE,
) -> None:
    """Show departments with their squads, units and promises."""
    with _speaking():
        chart = _chart()
        departments = [chart.department(office)] if office else list(chart.departments)
        missing = frozenset(_unstaffed(chart))
    if how is Format.TABLE:
        output.console().print(_drawn(departments, missing, measured=promises))
    else:
        output.dump([_department(department, missing) for department in departments], how)


@org.command("contracts")
def contracts(
    office: Annotated[str, typer.Argument(metavar="[OFFICE]", help="Only those of a department, squad or unit.")] = "",
    how: Output = Format.TABLE,
) -> None:
    """List who may ask whom for what, and why; with the boundaries above all contracts."""
    with _speaking():
        chart = _chart()
        edges = chart.contracts_of(chart.resolve(office).id) if office else chart.contracts
    if how is not Format.TABLE:
        boundaries = [rule.model_dump(mode="json", by_alias=True, exclude_none=True) for rule in chart.boundaries]
        listed = [edge.model_dump(mode="json", by_alias=True, exclude_none=True) | {"inForce": edge.in_force} for edge in edges]
        output.dump({"contracts": listed, "boundaries": boundaries}, how)
        return
    rows = [
        (
            edge.consumer,
            edge.provider,
            "; ".join(f"{kind}: {' '.join(verbs)}" for kind, verbs in edge.kinds.items()),
            _force(edge),
            edge.why,
        )
        for edge in edges
    ]
    output.table(("from", "to", "may", "in force", "why"), rows, empty="No contracts.")
    if not office:
        print()
        for rule in chart.boundaries:
            what = (
                f"{rule.forbid.consumer} never meets {rule.forbid.provider}"
                if rule.forbid
                else f"only {rule.sole}: {', '.join(rule.kinds)}"
            )
            output.say(f"boundary  {what}  ({rule.why})")


@org.command("can")
def can(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="Who: a unit (1A/U-W2), or a squad, department or CIPO as lead.")],
    verb: Annotated[str, typer.Argument(metavar="VERB", help="get, list, watch, create, update, patch, delete, or an action's name.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as assets, Asset or NodePool.cloud.cipo.")],
    how: Output = Format.TABLE,
) -> None:
    """Ask the chart's rules. Exit code 0 for yes, 1 for no."""
    with _speaking():
        chart = _chart()
        acting = unit if unit == "CIPO" else chart.resolve(unit).id
        decision = _decision(chart, acting, verb, kind)
    answer = {"allowed": decision.allowed, "unit": acting, "verb": verb, "kind": kind, "rule": decision.rule, "reason": decision.reason}
    if how is Format.TABLE:
        output.say(f"{'yes' if decision.allowed else 'no'}: {decision.reason} [{decision.rule}]")
    else:
        output.dump(answer, how)
    if not decision.allowed:
        raise typer.Exit(1)


def check(
    how: Output = Format.TABLE,
    rules: Annotated[
        Path | None, typer.Option("--write-importlinter", help="Also write the import rules of the chart to this file.")
    ] = None,
) -> None:
    """Check the installation: settings, chart, units' declarations, and whether they keep to the chart. Exit code 1 on errors."""
    from cipo.org import check as checks  # noqa: PLC0415

    with _speaking():
        chart = _chart()
        registry = _registry()
    problems = checks.check(chart, registry)
    if rules:
        checks.write_importlinter(rules, chart)
    errors = sum(problem.level == "error" for problem in problems)
    if how is Format.TABLE:
        for problem in problems:
            output.say(str(problem))
        counted = f"{len(registry.units)} units with code, {len(registry.kinds)} kinds, {len(registry.facts)} facts, {len(chart.kpis)} KPIs"
        output.say(f"{counted}: {errors} errors, {len(problems) - errors} warnings")
    else:
        fields = ("level", "rule", "subject", "why", "todo")
        output.dump([{name: getattr(problem, name) for name in fields} for problem in problems], how)
    if errors:
        raise typer.Exit(1)


@contextmanager
def _speaking() -> Iterator[None]:
    """The errors of chart and declarations as this program's own."""
    from cipo.kernel.errors import BadRequest, CipoError  # noqa: PLC0415

    try:
        yield
    except BadRequest as error:
        raise Usage(error.message) from error
    except CipoError as error:
        raise Failed(str(error)) from error


def _chart() -> Chart:
    from cipo.org.chart import load  # noqa: PLC0415

    return load(settings().chart)


def _registry() -> Registry:
    from cipo.plane import registry  # noqa: PLC0415

    return registry()


def _unstaffed(chart: Chart) -> tuple[str, ...]:
    from cipo.org.check import unstaffed  # noqa: PLC0415

    return unstaffed(chart, _registry())


def _decision(chart: Chart, acting: str, verb: str, word: str) -> Any:
    from cipo.org.authz import ChartAuthorizer  # noqa: PLC0415

    authorizer, action = ChartAuthorizer(chart), None
    if verb not in STANDARD:
        verb, action = "act", verb.removeprefix("act:")
    known = _registry().find(word)
    if known is not None:
        return authorizer.judge(acting, authorizer.question(verb, known, action))
    name, _, group = word.partition(".")
    promised = [(kind, department) for department, kind in chart.owners]
    promised += [(kind, rule.sole) for rule in chart.boundaries if rule.sole for kind in rule.kinds]
    department = chart.group_department(group)
    for kind, of in promised:
        if kind.lower() == name.lower() and department in (None, of):
            return authorizer.decide_names(acting, verb, kind, of, action)
    if department is None:
        raise Usage(f"{word!r} is not a kind of the chart; `cipo org -o json` lists the kinds of each unit")
    return authorizer.decide_names(acting, verb, name, department, action)


def _force(edge: Any) -> str:
    return "yes" if edge.in_force else f"waits for {edge.needs_approval}"


def _department(department: Department, missing: frozenset[str]) -> Json:
    """A department as data, in the chart's words."""
    return {
        "id": department.id,
        "name": department.title,
        "package": department.name,
        "group": department.group,
        "origin": department.origin,
        "squads": [_squad(squad, missing) for squad in department.squads],
    }


def _squad(squad: Squad, missing: frozenset[str]) -> Json:
    units = [
        {
            "id": unit.id,
            "name": unit.title,
            "job": unit.job,
            "kinds": list(unit.kinds),
            "staffed": unit.id not in missing,
            "origin": unit.origin,
        }
        for unit in squad.units
    ]
    return {
        "id": squad.id,
        "name": squad.title,
        "origin": squad.origin,
        "responsibilities": list(squad.responsibilities),
        "stack": list(squad.stack),
        "dependencies": list(squad.dependencies),
        "units": units,
        "kpis": [_kpi(kpi) for kpi in squad.kpis],
    }


def _kpi(kpi: Kpi) -> Json:
    return {
        "name": kpi.name,
        "text": kpi.text,
        "unit": kpi.unit,
        "objective": str(kpi.objective),
        "window": str(kpi.window),
        "method": kpi.indicator.method,
        "facts": list(kpi.facts),
        "calendar": kpi.calendar,
        "formula": kpi.formula,
        "honest": kpi.honest,
        "origin": kpi.origin,
    }


def _drawn(departments: list[Department], missing: frozenset[str], *, measured: bool = False) -> Tree:
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    def line(id: str, title: str, style: str, more: str = "") -> Text:
        return Text.assemble((id, style), " ", title, (f"  {more}" if more else "", "dim"))

    root = Tree(Text("CIPO", style="bold"), guide_style="dim")
    for department in departments:
        branch = root.add(line(department.id, department.title, "bold cyan", _origin(department)))
        for squad in department.squads:
            twig = branch.add(line(squad.id, squad.title, "bold", _origin(squad)))
            for unit in squad.units:
                more = ", ".join(filter(None, ("not staffed" if unit.id in missing else "", _origin(unit))))
                twig.add(line(unit.id, unit.title, "cyan", more))
            for kpi in squad.kpis:
                leaf = twig.add(Text.assemble(("promise ", "dim"), kpi.text, (f"  {kpi.name}", "dim")))
                for word, what in _measured(kpi) if measured else ():
                    leaf.add(Text.assemble((f"{word} ", "dim"), what))
    return root


def _measured(kpi: Kpi) -> Iterator[tuple[str, str]]:
    """How a promise is measured, line by line."""
    yield "formula", kpi.formula
    yield "honest", kpi.honest
    yield "window", f"{kpi.window}, calendar {kpi.calendar}"
    yield "facts", ", ".join(kpi.facts)


def _origin(part: Any) -> str:
    return "derived" if part.origin == "derived" else ""
