"""The long form says what OpenSLO and the engine say, both ways."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings

from cipo.kernel.slo import longform
from cipo.kernel.slo.document import Document
from cipo.kernel.slo.longform_spec import LongForm
from tests.kernel.slo.documents import documents


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_what_the_long_form_says_is_read_back_as_the_same_slo(document: Document) -> None:
    try:
        form = longform.spec(document)
    except longform.NoForm:
        assume(False)
    form = LongForm.model_validate(form.wire())
    again, _ = longform.document(document.name, form, labels=document.labels)
    assert longform.spec(again) == form
    for goal, other in zip(document.goals, again.goals, strict=True):
        assert (goal.objective.indicator, goal.objective.window, goal.objective.data) == (
            other.objective.indicator, other.objective.window, other.objective.data,
        )  # fmt: skip
        assert (goal.objective.name, goal.weight, goal.display_name) == (other.objective.name, other.weight, other.display_name)
        mine, theirs = goal.objective, other.objective
        if mine.indicator.method != "ratio":
            assert (mine.limit, mine.target) == (theirs.limit, theirs.target)
        elif mine.target is None:
            assert (mine.limit.op, theirs.limit.value) == (theirs.limit.op, pytest.approx(mine.limit.value))
    assert (again.queries, again.unsupported, again.source) == (document.queries, document.unsupported, document.source)
