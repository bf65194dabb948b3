"""The names that Sloth's dashboards and alerts read, recorded from ours. Names: github.com/slok/sloth (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from promql_parser import Expr

from cipo.kernel.slo.promql import decimal, filled, parsed, selector
from cipo.kernel.slo.recorded import Promise, allowed, share_of
from cipo.kernel.slo.rules import Rule
from cipo.kernel.slo.windows import shorthand


def aliases(promise: Promise) -> Iterator[Rule]:
    """Sloth's error ratios, objective and budget of a promise."""
    name, service = promise.objective.name, promise.labels.get("service", "")
    ids = {"sloth_id": f"{service}-{name}" if service else name, "sloth_service": service or name, "sloth_slo": name}

    def alias(record: str, expr: Expr, **more: str) -> Rule:
        return Rule(expr, record=record, labels={**ids, **more})

    spans = sorted({*promise.windows, promise.period})
    for span in spans:
        # Summed so that the series carries Sloth's labels and no others.
        share = filled("sum(share)", share=share_of(promise, span))
        yield alias(f"slo:sli_error:ratio_rate{shorthand(span)}", share, sloth_window=shorthand(span))
    target, budget = decimal(promise.target), allowed(promise)
    days = decimal(promise.period / timedelta(days=1))
    error = {span: selector(f"slo:sli_error:ratio_rate{shorthand(span)}", {"sloth_slo": name}) for span in spans}
    yield alias("slo:objective:ratio", parsed(f"vector({target})"))
    yield alias("slo:error_budget:ratio", parsed(f"vector({budget})"))
    yield alias("slo:time_period:days", parsed(f"vector({days})"))
    yield alias("slo:current_burn_rate:ratio", filled(f"error / {budget}", error=error[promise.windows[0]]))
    yield alias("slo:period_burn_rate:ratio", filled(f"error / {budget}", error=error[promise.period]))
    yield alias("slo:period_error_budget_remaining:ratio", filled(f"1 - error / {budget}", error=error[promise.period]))
