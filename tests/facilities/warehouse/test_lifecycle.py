"""The arrows of an asset's life are the department's, and no action leaves them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.facilities.warehouse.asset import Asset
from cipo.facilities.warehouse.lifecycle import LIFECYCLE, MOVES, USUAL, after, phases


def test_every_word_of_the_department_is_there():
    assert LIFECYCLE == (
        "Ordered", "InTransit", "Received", "InStock", "Testing", "Ready", "Allocated", "Installed", "InService",
        "Faulty", "AtVendor", "Closed", "Retired", "Sanitized", "Disposed", "Lost",
    )  # fmt: skip


def test_no_arrow_is_drawn_twice_with_different_ends():
    ends: dict[tuple[str, str], str] = {}
    for move in MOVES:
        if move.action:
            assert ends.setdefault((move.action, move.before), move.after) == move.after


def test_every_action_that_moves_an_asset_has_exactly_the_phases_of_its_arrows():
    for name, action in Asset.info.actions.items():
        if name != "putaway":  # it also moves from bin to bin within InStock
            assert action.phases == phases(name), name
    assert set(phases("putaway")) <= set(Asset.info.actions["putaway"].phases)


def test_what_is_disposed_of_stays_so():
    assert not [move for move in MOVES if move.before in ("Disposed", "Closed")]


def test_the_stepper_shows_arrows_that_exist():
    reach = {move.before: {other.after for other in MOVES if other.before == move.before} for move in MOVES}
    for before, then in itertools.pairwise(USUAL):
        assert then in reach[before] or any(then in reach.get(middle, ()) for middle in reach[before])


@given(st.lists(st.sampled_from(sorted({move.action for move in MOVES if move.action})), max_size=12))
def test_any_sequence_of_legal_actions_stays_on_the_arrows(actions):
    state = "Ordered"
    for action in actions:
        if state in phases(action):
            state = after(action, state)
        else:
            with pytest.raises(KeyError):
                after(action, state)
    assert state in LIFECYCLE
