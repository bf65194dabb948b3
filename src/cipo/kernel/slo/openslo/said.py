"""What OpenSLO cannot say of an objective, said in annotations ``cipo.dev/<word>`` (of the second of several: ``cipo.dev/<word>.2``).

Each word is a line of ``WORDS``: how it is taken from an objective and how it is put back. ``differing`` writes only what the OpenSLO
fields alone would not give, ``apply`` reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cipo.kernel.slo.budget import POLICIES
from cipo.kernel.slo.objective import Coverage, Limit, Missing, Objective, short
from cipo.kernel.slo.openslo.part import Part, near
from cipo.kernel.slo.windows import duration, shorthand

PREFIX = "cipo.dev/"
NONE = "none"
CONNECTION, ALERT_POLICIES = "connection", "alert-policies"
OF_DOCUMENT = (CONNECTION, ALERT_POLICIES)
_LIMIT = re.compile(r"^(>=|<=|>|<) (\S+)$")
_SECONDS = re.compile(r"^([0-9]+(?:\.[0-9]+)?)s$")


@dataclass(frozen=True, slots=True)
class Word:
    """One annotation: its text of an objective, and an objective with it."""

    name: str
    of: Callable[[Objective], str]
    into: Callable[[Objective, str], Objective]


def span(text: str) -> timedelta:
    """``15s``, ``5m``, ``2h`` …: cadences may be shorter than a minute."""
    found = _SECONDS.match(text)
    return timedelta(seconds=float(found[1])) if found else duration(text)


def span_text(value: timedelta) -> str:
    """The shortest text of a duration."""
    seconds = value.total_seconds()
    return shorthand(value) if seconds and seconds % 60 == 0 else f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _data(objective: Objective, **change: Any) -> Objective:
    return replace(objective, data=replace(objective.data, **change))


def _alerting(objective: Objective, **change: Any) -> Objective:
    return replace(objective, alerting=replace(objective.alerting, **change))


def _limit(text: str) -> Limit:
    found = _LIMIT.match(text)
    if not found:
        raise ValueError("write a sign and a number, such as `<= 5`")
    return Limit(found[1], float(found[2]))  # type: ignore[arg-type]  # the pattern allows these signs only


def _missing(text: str) -> Missing:
    policy, _, hold = text.partition(" ")
    if policy not in ("ignore", "bad", "good", "hold") or bool(hold) != (policy == "hold"):
        raise ValueError("write ignore, bad, good, or hold with how long, such as `hold 5m`")
    return Missing(policy, span(hold) if hold else timedelta(0))  # type: ignore[arg-type]  # checked above


def _coverage(text: str) -> Coverage | None:
    if text == NONE:
        return None
    kind, _, share = text.rpartition(" ")
    if not kind:
        raise ValueError("write a kind and a share, such as `Asset.facilities.cipo 0.9`")
    return Coverage(kind, float(share))


def _policy(text: str) -> str | None:
    if text != NONE and text not in POLICIES:
        raise ValueError(f"there is no alert policy {text!r}; those are {', '.join(POLICIES)}")
    return None if text == NONE else text


def _labels(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("write a JSON object of texts")
    return found


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("write true or false")
    return text == "true"


def _maybe(text: str, parse: Callable[[str], Any]) -> Any:
    return None if text == NONE else parse(text)


def _told(value: Any, write: Callable[[Any], str] = str) -> str:
    return NONE if value is None else write(value)


WORDS: tuple[Word, ...] = (
    Word("name", lambda o: o.name, lambda o, text: replace(o, name=text)),
    Word("owner", lambda o: o.owner, lambda o, text: replace(o, owner=text)),
    Word("text", lambda o: o.text, lambda o, text: replace(o, text=text)),
    Word("staffed", lambda o: "true" if o.staffed else "false", lambda o, text: replace(o, staffed=_flag(text))),
    Word("labels", lambda o: json.dumps(dict(o.labels), sort_keys=True), lambda o, text: replace(o, labels=_labels(text))),
    Word("limit", lambda o: f"{o.limit.op} {short(o.limit.value)}", lambda o, text: replace(o, limit=_limit(text))),
    Word("target", lambda o: _told(o.target, short), lambda o, text: replace(o, target=_maybe(text, float))),
    Word("allowed-lateness", lambda o: span_text(o.data.allowed_lateness), lambda o, text: _data(o, allowed_lateness=span(text))),
    Word("every", lambda o: _told(o.data.every, span_text), lambda o, text: _data(o, every=_maybe(text, span))),
    Word(
        "missing",
        lambda o: o.data.missing.policy + (f" {span_text(o.data.missing.hold)}" if o.data.missing.policy == "hold" else ""),
        lambda o, text: _data(o, missing=_missing(text)),
    ),
    Word("min-coverage", lambda o: short(o.data.min_coverage), lambda o, text: _data(o, min_coverage=float(text))),
    Word("min-events", lambda o: str(o.data.min_events), lambda o, text: _data(o, min_events=int(text))),
    Word("absent-after", lambda o: _told(o.data.absent_after, span_text), lambda o, text: _data(o, absent_after=_maybe(text, span))),
    Word(
        "coverage",
        lambda o: _told(o.data.coverage, lambda coverage: f"{coverage.kind} {short(coverage.share)}"),
        lambda o, text: _data(o, coverage=_coverage(text)),
    ),
    Word("confidence", lambda o: _told(o.data.confidence, short), lambda o, text: _data(o, confidence=_maybe(text, float))),
    Word("alerting", lambda o: o.alerting.policy or NONE, lambda o, text: _alerting(o, policy=_policy(text))),
    Word("min-bad-events", lambda o: str(o.alerting.min_bad_events), lambda o, text: _alerting(o, min_bad_events=int(text))),
    Word("absolute", lambda o: _told(o.alerting.absolute), lambda o, text: _alerting(o, absolute=_maybe(text, int))),
)
BY_NAME: Mapping[str, Word] = {word.name: word for word in WORDS}


def differing(wished: Sequence[Objective], given: Sequence[Objective]) -> Iterator[tuple[str, str]]:
    """(annotation, text) of all that ``given``, which the OpenSLO fields gave, lacks of what is ``wished``."""
    for word in WORDS:
        texts = [word.of(objective) for objective in wished]
        if texts == [word.of(objective) for objective in given]:
            continue
        if len(set(texts)) == 1:
            yield PREFIX + word.name, texts[0]
        else:
            for number, text in enumerate(texts, 1):
                yield f"{PREFIX}{word.name}.{number}", text


def apply(objectives: Sequence[Objective], annotations: Part) -> list[Objective]:
    """The objectives with what the annotations say of them; what cannot be read is noted."""
    found = list(objectives)
    for key in annotations.given:
        if not key.startswith(PREFIX):
            continue
        name, _, number = key.removeprefix(PREFIX).partition(".")
        text = annotations.text(key)
        if name in OF_DOCUMENT and not number:
            continue
        word = BY_NAME.get(name)
        if word is None or (number and not (number.isdigit() and 1 <= int(number) <= len(found))):
            remedy = near(name, (*BY_NAME, *OF_DOCUMENT)) if word is None else f"; there are {len(found)} objectives"
            annotations.wrong(key, text, f"says nothing to cipo{remedy or '; remove it'}")
            continue
        for index in [int(number) - 1] if number else range(len(found)):
            try:
                found[index] = word.into(found[index], text)
            except ValueError as error:
                annotations.wrong(key, text, str(error))
    return found
