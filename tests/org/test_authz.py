"""Who may do what: each rule, their order, and the sentences of a refusal."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cipo.kernel.errors import BadRequest, Forbidden
from cipo.kernel.principal import SYSTEM, Authorizer, Caller, Principal
from cipo.org.authz import ChartAuthorizer, may
from cipo.org.chart import CIPO, PACKAGED, Chart, load
from cipo.org.model import READ, VERBS, WRITE, Contract
from tests.org.kinds import ACCOUNT, ASSET, INCIDENT, SQUAD, TOPIC, FakeKind


def person(*units: str, leads: str = "", acting: str | None = None) -> Caller:
    return Caller(Principal("anna", "user", frozenset(units), frozenset(leads.split())), unit=acting)


def test_it_is_the_kernels_authorizer(authorizer: ChartAuthorizer) -> None:
    kernels: Authorizer = authorizer
    assert kernels.hidden(SYSTEM) == frozenset()


# The rules ----------------------------------------------------------------------------------------------------------


def test_a_unit_does_everything_on_its_own_kinds(authorizer: ChartAuthorizer) -> None:
    for verb in VERBS:
        decision = authorizer.decide(person("1A/U-W2"), verb, ASSET, "retire" if verb == "act" else None)
        assert (decision.allowed, decision.rule, decision.unit) == (True, "owner", "1A/U-W2")


def test_the_system_is_not_asked(authorizer: ChartAuthorizer) -> None:
    assert authorizer.decide(SYSTEM, "delete", TOPIC).rule == "system"
    assert authorizer.decide(SYSTEM, "create", ASSET).unit == "1A/U-W2"


@pytest.mark.parametrize(
    ("unit", "verb", "action", "allowed"),
    [
        ("1A/U-W1", "create", None, True),
        ("1A/U-W1", "delete", None, False),
        ("1B/U-H1", "act", "observe", True),
        ("1B/U-H1", "act", "retire", False),
        ("1B/U-H1", "act", None, False),
        ("1B/U-C2", "watch", None, True),
        ("1C/U-P1", "get", None, False),
    ],
)
def test_a_contract_gives_what_it_says_and_no_more(
    authorizer: ChartAuthorizer, unit: str, verb: str, action: str | None, allowed: bool
) -> None:
    decision = authorizer.decide(person(unit), verb, ASSET, action)
    assert (decision.allowed, decision.rule) == (allowed, "contract" if allowed else "no-contract")


def test_a_refusal_names_what_is_missing_what_is_there_and_what_to_do(authorizer: ChartAuthorizer) -> None:
    reason = authorizer.decide(person("1A/U-W1"), "delete", ASSET).reason
    assert reason.startswith("U-W1 (1A) has no contract to delete Asset of 1A. It may create, update, patch, act, get, list, watch.")
    assert "propose {from: 1A/U-W1, to: 1A/U-W2, kinds: {Asset: [delete]}} in 1A.yaml; the CIPO approves it" in reason


def test_a_contract_that_waits_for_the_cipo_gives_nothing_and_says_so(authorizer: ChartAuthorizer) -> None:
    decision = authorizer.decide(person("1E/U-CO1"), "get", ASSET)
    assert not decision.allowed
    assert "waits for the CIPO's approval in 1E.yaml" in decision.reason


def test_public_kinds_are_read_by_anybody_signed_in(authorizer: ChartAuthorizer) -> None:
    for caller in (person(), person("1F/U-OB1"), person("1A/U-W1", "1D/U-DP3"), person(leads="1A/A-2")):
        assert authorizer.decide(caller, "list", SQUAD).allowed
    for caller in (person("1A/U-W2"), person(leads=CIPO)):
        decision = authorizer.decide(caller, "patch", SQUAD)
        assert (decision.allowed, decision.rule) == (False, "chart")


def test_only_the_cipo_writes_admin_kinds(authorizer: ChartAuthorizer, chart: Chart) -> None:
    everything = [unit.id for unit in chart.units]
    assert authorizer.decide(person(*everything, leads=CIPO), "create", ACCOUNT).unit == CIPO
    assert authorizer.decide(person(*everything, leads=CIPO), "get", ACCOUNT).allowed
    assert authorizer.decide(person(*everything, leads=CIPO, acting="1A/U-W2"), "create", ACCOUNT).rule == "admin"
    assert not authorizer.decide(person("1A/U-W2"), "create", ACCOUNT).allowed
    assert not authorizer.decide(person("1A/U-W2"), "get", ACCOUNT).allowed


@pytest.mark.parametrize(("lead", "reads"), [("1A/A-2", True), ("1A", True), (CIPO, True), ("1A/A-1", False), ("1B", False)])
def test_a_lead_reads_and_approves_below_itself_and_writes_nothing(authorizer: ChartAuthorizer, lead: str, reads: bool) -> None:
    caller = person(leads=lead, acting=lead)
    assert [authorizer.decide(caller, verb, ASSET).allowed for verb in READ] == [reads] * 3
    assert authorizer.decide(caller, "act", ASSET, "approve").allowed is reads
    assert not authorizer.decide(caller, "act", ASSET, "retire").allowed
    assert not any(authorizer.decide(caller, verb, ASSET).allowed for verb in WRITE)


# Boundaries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [("1F", "1D"), ("1D", "1F")])
def test_1f_and_1d_refuse_each_other_in_all_units_kinds_and_verbs(
    authorizer: ChartAuthorizer, chart: Chart, ours: str, theirs: str
) -> None:
    kinds = [kind for (department, kind) in chart.owners if department == theirs]
    assert len(kinds) > 40
    offices = [*chart.members(ours), ours, *(squad.id for squad in chart.department(ours).squads)]
    for office, kind, verb in product(offices, kinds, VERBS):
        decision = authorizer.decide_names(office, verb, kind, theirs, "any" if verb == "act" else None)
        assert (decision.allowed, decision.rule) == (False, "boundary:forbid")
        assert "1F does not directly interface with 1D" in decision.reason


def test_the_boundary_reads_as_a_sentence_with_a_way_out(authorizer: ChartAuthorizer) -> None:
    reason = authorizer.decide(person("1F/U-OB1"), "get", TOPIC).reason
    assert reason.startswith("U-OB1 (1F) has no contract to read KafkaTopic of 1D; 1F does not directly interface with 1D. Instead: ")
    assert "Boundary in 1F.yaml: the CIPO alone can amend it." in reason


def test_an_unlisted_kind_of_the_other_side_is_refused_too(authorizer: ChartAuthorizer) -> None:
    assert authorizer.decide_names("1F/U-OB1", "get", "SomethingNew", "1D").rule == "boundary:forbid"
    assert authorizer.decide(person("1D/U-DP3"), "act", FakeKind("New", "reliability.cipo", "1F/U-RE1"), "x").rule == "boundary:forbid"


def test_1b_alone_writes_kernels_cni_csi_and_gpu_pools(authorizer: ChartAuthorizer, chart: Chart) -> None:
    kept = ["KernelRelease", "KernelTrack", "CniConfig", "CsiDriver", "GpuNodePool", "GpuProfile", "NodePool", "PlatformRelease"]
    others = [unit.id for unit in chart.units if unit.department != "1B"]
    for unit, kind, verb in product(others, kept, WRITE):
        assert not authorizer.decide_names(unit, verb, kind, "1B").allowed
    decision = authorizer.decide_names("1C/U-P1", "create", "KernelRelease", "1B")
    assert decision.rule == "boundary:sole"
    assert "only 1B writes KernelRelease: The 1B squad is the sole authority for Kernel versions" in decision.reason


def test_a_sole_kind_cannot_be_had_by_offering_it_oneself(authorizer: ChartAuthorizer) -> None:
    smuggled = FakeKind("GpuNodePool", "devex.cipo", "1C/U-DEV2")
    assert authorizer.decide(person("1C/U-DEV2"), "create", smuggled).rule == "boundary:sole"


def test_1g_requests_and_never_changes_capacity(authorizer: ChartAuthorizer) -> None:
    assert authorizer.decide_names("1G/U-CP3", "create", "NodePoolRequest", "1B").allowed
    assert authorizer.decide_names("1G/U-CP3", "patch", "NodePool", "1B").rule == "boundary:forbid"
    assert authorizer.decide_names("1C/U-P1", "update", "PriceBook", "1G").rule == "boundary:sole"
    assert authorizer.decide_names("1D/U-ML2", "act", "Budget", "1G", "reserve").allowed


OFFICES = sorted(load(PACKAGED).offices)
EDGES = st.builds(
    lambda consumer, provider, kinds: Contract.model_validate({"from": consumer, "to": provider, "kinds": kinds, "why": "drawn at random"}),
    st.sampled_from([office for office in OFFICES if office != CIPO]),
    st.sampled_from([office for office in OFFICES if office != CIPO]),
    st.dictionaries(st.sampled_from(["*", "KafkaTopic", "Table", "Incident", "KernelTrack", "NodePool"]), st.just(list(VERBS)), min_size=1),
)
TO_DATA = [Contract.model_validate({"from": "1F", "to": "1D", "kinds": {"*": list(VERBS), "Table": list(VERBS)}, "why": "never"})]


@given(edges=st.lists(EDGES, max_size=12))
@settings(max_examples=40, deadline=None)
def test_no_sequence_of_contracts_opens_a_boundary(edges: list[Contract]) -> None:
    given_chart = load(PACKAGED)
    first, *rest = given_chart.departments
    more = first.model_copy(update={"contracts": (*first.contracts, *edges, *TO_DATA)})
    authorizer = ChartAuthorizer(Chart([more, *rest]))
    for ours, theirs in (("1F", "1D"), ("1D", "1F")):
        kinds = ("Incident", "SLOGuard", "Unheard") if theirs == "1F" else ("KafkaTopic", "Table", "Unheard")
        for unit, kind, verb in product(given_chart.members(ours), kinds, VERBS):
            assert authorizer.decide_names(unit, verb, kind, theirs).rule == "boundary:forbid"
    for unit, verb in product(("1C/U-P1", "1G/U-CP3", "1A/U-D1"), WRITE):
        assert not authorizer.decide_names(unit, verb, "KernelTrack", "1B").allowed
        assert not authorizer.decide_names(unit, verb, "NodePool", "1B").allowed


# Acting as whom -----------------------------------------------------------------------------------------------------


def test_a_named_unit_must_be_held(authorizer: ChartAuthorizer) -> None:
    with pytest.raises(Forbidden, match=r"anna may not act as 1A/U-W2: it holds 1A/U-W1"):
        authorizer.decide(person("1A/U-W1", acting="1A/U-W2"), "get", ASSET)
    assert authorizer.decide(person("1A/U-W1", "1A/U-W2", acting="1A/U-W1"), "delete", ASSET).unit == "1A/U-W1"


def test_a_bare_unit_is_understood_unless_it_is_ambiguous(authorizer: ChartAuthorizer) -> None:
    assert authorizer.decide(person("1A/U-W2", acting="U-W2"), "get", ASSET).unit == "1A/U-W2"
    for ask in (authorizer.hidden, lambda caller: authorizer.decide(caller, "get", ASSET)):
        with pytest.raises(BadRequest, match="U-RE1 is ambiguous: 1C/U-RE1, 1F/U-RE1"):
            ask(person("1C/U-RE1", acting="U-RE1"))


def test_of_several_units_the_owner_is_meant_else_one_must_be_named(authorizer: ChartAuthorizer) -> None:
    caller = person("1A/U-W1", "1A/U-W2")
    assert authorizer.decide(caller, "delete", ASSET).unit == "1A/U-W2"
    with pytest.raises(BadRequest, match=r"holds 1A/U-W1, 1A/U-W2; say as which one to create KafkaTopic of 1D: header Cipo-Unit"):
        authorizer.decide(caller, "create", TOPIC)
    assert not may(authorizer, caller, "create", TOPIC)


def test_a_lead_who_also_works_in_a_unit_still_reads_below(authorizer: ChartAuthorizer) -> None:
    caller = person("1E/U-SE1", leads=CIPO)
    assert authorizer.decide(caller, "list", ASSET).rule == "lead"
    assert authorizer.decide(caller, "create", ASSET).unit == "1E/U-SE1"
    assert not authorizer.decide(caller, "create", ASSET).allowed
    squad_lead = person(leads="1A")
    assert authorizer.decide(squad_lead, "get", ASSET).unit == "1A"
    assert authorizer.decide(person(leads="1A", acting="1A/A-2"), "get", ASSET).unit == "1A/A-2"


def test_who_holds_nothing_is_told_so(authorizer: ChartAuthorizer) -> None:
    with pytest.raises(Forbidden, match="anna holds no unit; ask the CIPO for one"):
        authorizer.decide(person(), "get", ASSET)
    with pytest.raises(Forbidden, match="leads 1A, which reads what lies below it; to create Asset of 1A it must hold a unit"):
        authorizer.decide(person(leads="1A"), "create", ASSET)


def test_a_unit_that_left_the_chart_may_nothing(authorizer: ChartAuthorizer) -> None:
    decision = authorizer.decide(person("1A/U-X9"), "get", ASSET)
    assert (decision.allowed, decision.rule) == (False, "unknown-unit")
    kernels = FakeKind("Routine", "kernel.cipo", "kernel/routines")
    assert authorizer.decide(Caller(Principal("unit:kernel/routines", "unit", frozenset({"kernel/routines"}))), "update", kernels).allowed


def test_an_unknown_verb_is_refused(authorizer: ChartAuthorizer) -> None:
    with pytest.raises(BadRequest, match="'deletecollection' is not a verb"):
        authorizer.decide(person("1A/U-W2"), "deletecollection", ASSET)


@pytest.mark.parametrize(
    ("caller", "hidden"),
    [
        (person("1F/U-OB1"), {"1D"}),
        (person("1D/U-DP3"), {"1F"}),
        (person("1F/U-OB1", "1A/U-W2"), {"1D"}),
        (person("1F/U-OB1", "1A/U-W2", acting="1A/U-W2"), set()),
        (person("1F/U-OB1", "1D/U-DP3"), set()),
        (person("1F/U-OB1", "1D/U-DP3", acting="1F/U-OB1"), {"1D"}),
        (person("1F/U-OB1", leads=CIPO), set()),
        (person("1F/U-OB1", leads=CIPO, acting="1F/U-OB1"), {"1D"}),
        (person(leads="1F/F-1"), {"1D"}),
        (person("1G/U-CP3"), set()),
        (person(), set()),
    ],
)
def test_rows_of_the_other_side_are_hidden_on_every_path(authorizer: ChartAuthorizer, caller: Caller, hidden: set[str]) -> None:
    assert authorizer.hidden(caller) == hidden


def test_a_decision_is_remembered_and_the_memory_is_bounded(authorizer: ChartAuthorizer) -> None:
    caller = person("1F/U-OB1")
    assert authorizer.decide(caller, "get", TOPIC) is authorizer.decide(caller, "get", TOPIC)
    assert authorizer.judge.cache_info().maxsize == 65_536  # type: ignore[attr-defined]


def test_both_sides_agree_by_name_and_by_kind(authorizer: ChartAuthorizer, chart: Chart) -> None:
    for unit, verb, kind in product(chart.units, VERBS, (ASSET, TOPIC, INCIDENT)):
        by_kind = authorizer.decide(person(unit.id), verb, dataclasses.replace(kind, actions={}))
        by_name = authorizer.decide_names(unit.id, verb, kind.kind, kind.unit[:2])
        assert (by_kind.allowed, by_kind.rule) == (by_name.allowed, by_name.rule)
