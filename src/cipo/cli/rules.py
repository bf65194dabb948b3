"""``cipo slo rules`` and ``cipo slo dashboard``: promises as Prometheus and Grafana take them.

Promises come from the API by name, or from files with ``-f``. What has no rules is named on standard error with the reason, so that
standard output can be piped into a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import connect
from cipo.cli.errors import Failed
from cipo.cli.measures import KPIS
from cipo.cli.objects import pages
from cipo.cli.slo import SLOS, document_of

if TYPE_CHECKING:
    from cipo.kernel.slo.document import Document
    from cipo.kernel.slo.prometheus import NoRules

CRD_NAME = "cipo-slo"
Json = dict[str, Any]

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Promises by name; all that have rules if none is given.")]
Files = Annotated[
    list[Path] | None, typer.Option("--filename", "-f", help="Read promises from a file, a directory of them, or - for standard input.")
]


def rules(
    names: Names = None,
    files: Files = None,
    crd: Annotated[bool, typer.Option("--crd", help="Write a PrometheusRule for the Prometheus operator.")] = False,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The namespace of the PrometheusRule.")] = "",
    sloth: Annotated[bool, typer.Option("--sloth", help="Also record the names that Sloth's dashboards read.")] = False,
) -> None:
    """Print recording and alerting rules for Prometheus."""
    from cipo.kernel.slo import prometheus  # noqa: PLC0415
    from cipo.kernel.slo import rules as written  # noqa: PLC0415

    documents = list(_with_rules(_promised(names or [], files or []), strict=bool(names or files)))
    if not documents:
        raise Failed("none of the promises has rules", todo="`cipo kpi` lists them; only shares with a budget have rules.")
    try:
        groups = prometheus.groups(documents, prometheus.Options(sloth=sloth))
    except prometheus.NoRules as error:
        raise Failed(f"{error.name}: {_why(error)}") from error
    plain = written.crd(groups, CRD_NAME, namespace) if crd else written.rule_file(groups)
    print(written.to_yaml(plain), end="")


def dashboard(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as api-uptime.")],
    files: Files = None,
) -> None:
    """Print a Grafana dashboard for one promise, as JSON to import."""
    from cipo.kernel.slo import grafana, prometheus  # noqa: PLC0415

    (document,) = _promised([name], files or [])
    try:
        made = grafana.of_document(document)
    except prometheus.NoRules as error:
        if document.queries is not None or document.unsupported:
            raise Failed(f"{name} has no dashboard: {_why(error)}") from error
        made = grafana.of_values(document)
    print(output.to_json(made), end="")


def _with_rules(found: Iterable[Document], *, strict: bool) -> Iterator[Document]:
    """Those that can be written; the others are refused when somebody asked for them, else noted."""
    from cipo.kernel.slo import prometheus  # noqa: PLC0415

    left: dict[str, list[str]] = {}
    for document in found:
        try:
            parts = prometheus.in_prometheus(document)
            for part in parts:
                prometheus.promises(part)
            yield from parts
        except prometheus.NoRules as error:
            if strict:
                todo = "" if document.queries or document.unsupported else f"`cipo slo dashboard {document.name}` shows its value."
                raise Failed(f"{document.name} has no rules: {_why(error)}", todo=todo) from error
            left.setdefault(_why(error), []).append(document.name)
    for why, names in left.items():
        few = (
            f"{names[0]} has" if len(names) == 1 else f"{len(names)} promises ({', '.join(names[:2])}{' …' if len(names) > 2 else ''}) have"
        )
        output.note(f"{few} no rules: {why}")


def _why(error: NoRules) -> str:
    return "; ".join(why if where == "indicator" else f"{where}: {why}" for where, why in error.problems)


def _promised(names: list[str], files: list[Path]) -> list[Document]:
    """The promises in the files or, without files, in the API; of those named, or all."""
    found = {document.name: document for document in (_of_files(files) if files else _of_api())}
    missing = [name for name in names if name not in found]
    if missing:
        where = "the files" if files else "this organisation"
        todo = "" if files else "`cipo kpi` lists the promises by name."
        raise Failed(f"no promise of {where} is called {', '.join(missing)}", todo=todo)
    return [found[name] for name in sorted(names or found)]


def _of_api() -> Iterator[Document]:
    """KPIs, then SLOs; an SLO of a KPI's name is the one that is meant."""
    with connect() as api:
        for path, document in ((KPIS, _of_kpi), (SLOS, document_of)):
            for page in pages(api, path):
                yield from map(document, page["items"])


def _of_files(files: list[Path]) -> Iterator[Document]:
    """Kpi and ServiceLevelObjective objects one by one, OpenSLO all together because its documents refer to one another."""
    from cipo.cli.manifests import read  # noqa: PLC0415

    openslo = []
    for manifest in read(files):
        match manifest.obj["apiVersion"], manifest.obj["kind"]:
            case ("org.cipo/v1", "Kpi"):
                yield _of_kpi(manifest.obj)
            case ("reliability.cipo/v1", "ServiceLevelObjective"):
                yield document_of(manifest.obj)
            case (str(version), _) if version.startswith("openslo/"):
                openslo.append(manifest.obj)
            case (version, kind):
                raise Failed(
                    f"{manifest.source}: {kind} {manifest.name} of {version} is no promise",
                    todo="Give OpenSLO documents, ServiceLevelObjective or Kpi objects.",
                )
    yield from _of_openslo(openslo)


def _of_openslo(objects: list[Json]) -> Iterable[Document]:
    from cipo.kernel import yaml  # noqa: PLC0415
    from cipo.kernel.slo import openslo  # noqa: PLC0415

    try:
        return openslo.read(yaml.written(objects)).documents if objects else ()
    except openslo.OpenSLOError as error:
        raise Failed(str(error)) from error


def _of_kpi(item: Json) -> Document:
    """A KPI as a document over what is counted of it, or over nothing when that is no share."""
    from dataclasses import replace  # noqa: PLC0415
    from typing import cast  # noqa: PLC0415

    from cipo.kernel.slo import prometheus  # noqa: PLC0415
    from cipo.kernel.slo.document import Document, Goal  # noqa: PLC0415
    from cipo.kernel.store.admission import typed  # noqa: PLC0415
    from cipo.org.kinds import Kpi, promise  # noqa: PLC0415
    from cipo.plane import registry  # noqa: PLC0415

    objective = promise(cast(Kpi, typed(Kpi.info, item)), registry())
    if prometheus.no_rules(objective):
        return Document(objective.name, objective.owner, (Goal(objective),), description=objective.text)
    return replace(prometheus.of_facts(objective), description=objective.text)
