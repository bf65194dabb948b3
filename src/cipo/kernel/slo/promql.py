"""PromQL as a tree: read, edited node by node, put together from small expressions, printed as Prometheus writes it.

The grammar is that of ``promql-parser`` (Rust, MIT; the rules of Prometheus 2.45); ours are the steps between reading and printing. Only
``$window``, which is not PromQL, is replaced as text, and only inside a range's brackets. Nodes are made by parsing a small expression
and putting others into its holes (``filled``), because the library lets nobody construct or change one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import promql_parser as promql
from promql_parser import Expr, Matcher, MatchOp

from cipo.kernel.slo.windows import shorthand

TOKEN = "$window"  # noqa: S105 - the word that OpenSLO users write for "whatever window is asked for"
ANY_WINDOW = timedelta(minutes=5)
SUMS = ("sum",)
BOUNDS = ("le", "quantile")
"""Labels whose values are numbers, which client libraries spell differently: ``1`` (Go) and ``1.0`` (Python, OpenMetrics, Prometheus 3)."""
_TOKEN = re.compile(re.escape(TOKEN) + r"\b")
_WHOLE = re.compile(r"^(-?[0-9]+)(\.0)?$")
_SIGNS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))  # the library's are not hashable
_OF_NUMBERS = ((MatchOp.Equal, MatchOp.Re), (MatchOp.NotEqual, MatchOp.NotRe))


class BadQuery(ValueError):
    """Not a query that can be used: says what would be right."""


def with_window(query: str, window: timedelta) -> str:
    """The query with ``$window`` replaced, which may stand inside the brackets of ranges and nowhere else."""
    parts = list(_parts(query))
    outside = [text for place, text in parts if place == "code" and _TOKEN.search(text)]
    if outside:
        raise BadQuery(f"{TOKEN} stands outside of a range's brackets in {query!r}; write it as [{TOKEN}]")
    if not any(place == "range" and _TOKEN.search(text) for place, text in parts):
        raise BadQuery(f"{query!r} has no {TOKEN} in brackets, so it cannot be asked for other windows; write a range as [{TOKEN}]")
    return "".join(_TOKEN.sub(shorthand(window), text) if place == "range" else text for place, text in parts)


def _parts(query: str) -> Iterator[tuple[str, str]]:
    """A query cut into ``text`` (strings and comments), ``range`` (what brackets hold, with them) and ``code``."""
    pattern = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\#[^\n]*|\[[^\]]*\]|[^"'`#\[]+|.""", re.DOTALL)
    for found in pattern.finditer(query):
        text = found[0]
        place = "text" if text[0] in "\"'`#" and len(text) > 1 else "range" if text[0] == "[" and text[-1] == "]" else "code"
        yield place, text


def read(query: str, window: timedelta = ANY_WINDOW) -> Expr:
    """A query of events in a window as one series: its numbers spelled either way, rates as counts, summed."""
    return summed(as_counts(either_spelling(vector(with_window(query, window)))))


def parsed(text: str) -> Expr:
    """The tree; BadQuery with the parser's own words."""
    try:
        tree: Expr = promql.parse(text)
    except ValueError as error:
        raise BadQuery(f"{text!r} is not PromQL: {error}") from error
    return tree


def vector(text: str) -> Expr:
    """The tree of an instant vector: anything else has no events to count."""
    tree = parsed(text)
    if isinstance(_bare(tree), promql.MatrixSelector | promql.SubqueryExpr):
        raise BadQuery(f"{text!r} is a range; count its events with increase(…)")
    if isinstance(_bare(tree), promql.NumberLiteral | promql.StringLiteral) or _is_scalar(_bare(tree)):
        raise BadQuery(f"{text!r} is a single number, not a series; write a query of a metric")
    return tree


def _bare(tree: Expr) -> Expr:
    """Without the parentheses around it."""
    while isinstance(tree, promql.ParenExpr):
        tree = tree.expr
    return tree


def _is_scalar(tree: Expr) -> bool:
    return isinstance(tree, promql.Call) and tree.func.return_type == promql.ValueType.Scalar


def printed(tree: Expr) -> str:
    """As Prometheus' own formatter prints it."""
    return tree.prettify()


# -- edits of a query


def either_spelling(tree: Expr) -> Expr:
    """``le="1"`` finds ``1`` and ``1.0``: whichever the metric's client library wrote."""

    def edit(node: Expr) -> Expr | None:
        if not isinstance(node, promql.VectorSelector):
            return None
        if node.matchers.or_matchers:
            raise BadQuery(f"{printed(node)!r} joins matchers by or, which Prometheus does not know; write two selectors joined by or")
        matchers = [_spelled(one) for one in node.matchers.matchers]
        changed = any(new.op != old.op for new, old in zip(matchers, node.matchers.matchers, strict=True))
        return _selector(node, matchers) if changed else None

    return promql.transform(tree, post_visit=edit)


def _spelled(matcher: Matcher) -> Matcher:
    whole = _WHOLE.match(matcher.value) if matcher.name in BOUNDS else None
    op = next((pattern for plain, pattern in _OF_NUMBERS if plain == matcher.op), None)
    return matcher if whole is None or op is None else Matcher(op, matcher.name, whole[1] + r"(\.0)?")


def _selector(node: promql.VectorSelector, matchers: list[Matcher]) -> Expr:
    """The same selector with other matchers."""
    inside = ",".join(f"{one.name}{_sign(one)}{quoted(one.value)}" for one in matchers)
    return parsed(f"{node.name or ''}{{{inside}}}{_at(node.at)}{_offset(node.offset)}")


def _sign(matcher: Matcher) -> str:
    return next(sign for op, sign in _SIGNS if op == matcher.op)


def _at(at: promql.AtModifier | None) -> str:
    if at is None:
        return ""
    if at.type == promql.AtModifierType.At and at.at is not None:
        return f" @ {at.at.timestamp():.3f}"
    return " @ start()" if at.type == promql.AtModifierType.Start else " @ end()"


def _offset(offset: timedelta | None) -> str:
    if not offset:
        return ""
    sign = "-" if offset < timedelta(0) else ""
    return f" offset {sign}{promql.display_duration(abs(offset))}"


def as_counts(tree: Expr) -> Expr:
    """``rate(…)`` as ``increase(…)``: the same share, but in events, so that they can be counted and added up over time."""

    def edit(node: Expr) -> Expr | None:
        if isinstance(node, promql.Call) and node.func.name == "rate":
            return _with_range("increase(hole[1m])", node.args[0])
        return None

    return promql.transform(tree, post_visit=edit)


def _with_range(skeleton: str, range_: Expr) -> Expr:
    return promql.transform(parsed(skeleton), pre_visit=lambda node: range_ if isinstance(node, promql.MatrixSelector) else None)


def summed(tree: Expr) -> Expr:
    """One series: the sum of all, unless it is a plain sum already."""
    if isinstance(tree, promql.AggregateExpr) and str(tree.op) in SUMS and tree.modifier is None:
        return tree
    return filled("sum(hole)", hole=tree)


# -- expressions put together


def filled(skeleton: str, **holes: Expr) -> Expr:
    """A small expression with the selectors of these names replaced; what might bind less is put in parentheses."""
    tree = parsed(skeleton)
    fitting = {name: part if _encloses(tree) else _closed(part) for name, part in holes.items()}
    return promql.transform(tree, post_visit=lambda node: fitting.get(node.name or "") if isinstance(node, promql.VectorSelector) else None)


def _encloses(tree: Expr) -> bool:
    """Whether the skeleton is one call around one hole, which needs no parentheses."""
    inside = (
        tree.expr
        if isinstance(tree, promql.AggregateExpr)
        else tree.args[0]
        if isinstance(tree, promql.Call) and len(tree.args) == 1
        else None
    )
    return isinstance(inside, promql.VectorSelector)


def _closed(tree: Expr) -> Expr:
    if not isinstance(tree, promql.BinaryExpr | promql.UnaryExpr):
        return tree
    return promql.transform(parsed("(hole)"), post_visit=lambda node: tree if isinstance(node, promql.VectorSelector) else None)


def selector(name: str, labels: Mapping[str, str]) -> Expr:
    """A recorded series."""
    return parsed(name + "{" + ",".join(f"{key}={quoted(value)}" for key, value in sorted(labels.items())) + "}")


def quoted(text: str) -> str:
    """A string of PromQL: its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def exact(value: float) -> Fraction:
    """The number that somebody wrote: 0.999 is 999/1000, not its nearest binary fraction."""
    return Fraction(str(value)).limit_denominator(10**9)


def decimal(value: float | Fraction) -> str:
    """A number as PromQL and people write it."""
    return format(Decimal(repr(float(value))).normalize(), "f")
