"""The arithmetic of a blind count, against a replay of everything that happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cipo.facilities.warehouse.accuracy import Sighting, Spot, Stay, compare

T0 = datetime(2026, 11, 23, 8, tzinfo=UTC)


def at(minutes):
    return T0 + timedelta(minutes=minutes)


def seen(asset, place, minutes=5, unit="", differs=False):
    return Sighting(asset, Spot(place, unit), at(minutes), differs)


def outcomes(expected, sightings, moves=None):
    result = compare(
        T0,
        {asset: Spot(*([place] if isinstance(place, str) else place)) for asset, place in expected.items()},
        {s.asset: s for s in sightings},
        moves or {},
    )
    return {line.asset: line.outcome for line in result.lines}, result


def test_each_thing_has_one_outcome():
    found, result = outcomes(
        {"right": "bin/a", "moved": "bin/a", "gone": "bin/a", "swapped": "bin/a"},
        [seen("right", "bin/a"), seen("moved", "bin/b"), seen("swapped", "bin/a", differs=True), seen("extra", "bin/a")],
    )
    assert found == {"right": "correct", "moved": "wrongPlace", "gone": "missing", "swapped": "wrongSerial", "extra": "unexpected"}
    assert (result.correct, len(result.lines)) == (1, 5)


def test_a_rack_unit_counts_only_if_the_counter_gave_it():
    expected = {"s": ("rack/r1", "10")}
    assert outcomes(expected, [seen("s", "rack/r1")])[0] == {"s": "correct"}
    assert outcomes(expected, [seen("s", "rack/r1", unit="10")])[0] == {"s": "correct"}
    assert outcomes(expected, [seen("s", "rack/r1", unit="11")])[0] == {"s": "wrongPlace"}


def test_a_move_through_the_record_is_netted_out_whichever_came_first():
    moved = {"s": [Stay(at(3), Spot("bin/b"))]}
    assert outcomes({"s": "bin/a"}, [seen("s", "bin/b", 5)], moved)[0] == {"s": "correct"}
    assert outcomes({"s": "bin/a"}, [seen("s", "bin/a", 2)], moved)[0] == {"s": "correct"}
    assert outcomes({"s": "bin/a"}, [seen("s", "bin/a", 5)], moved)[0] == {"s": "wrongPlace"}


def test_correcting_the_record_after_the_scan_does_not_make_the_scan_right():
    corrected = {"s": [Stay(at(9), Spot("bin/b"))]}
    assert outcomes({"s": "bin/a"}, [seen("s", "bin/b", 5)], corrected)[0] == {"s": "wrongPlace"}


def test_what_the_record_moved_and_nobody_scanned_leaves_the_sum():
    found, result = outcomes({"s": "bin/a", "t": "bin/a"}, [seen("t", "bin/a")], {"s": [Stay(at(3), Spot("rack/r9", "4"))]})
    assert found == {"t": "correct"}
    assert result.netted == ("s",)


def test_what_the_record_brought_in_during_the_count_is_right():
    assert outcomes({}, [seen("new", "bin/a", 5)], {"new": [Stay(at(2), Spot("bin/a"))]})[0] == {"new": "correct"}
    assert outcomes({}, [seen("new", "bin/a", 1)], {"new": [Stay(at(2), Spot("bin/a"))]})[0] == {"new": "unexpected"}


def test_moves_before_the_start_do_not_matter():
    assert outcomes({"s": "bin/a"}, [], {"s": [Stay(at(-60), Spot("bin/a"))]})[0] == {"s": "missing"}


ASSETS, PLACES = ("a", "b", "c", "d"), ("bin/x", "bin/y", "rack/z")


@st.composite
def histories(draw):
    """Where the record has each asset, which moves it makes, and what the counter scans, minute by minute."""
    start = draw(st.dictionaries(st.sampled_from(ASSETS), st.sampled_from(PLACES)))
    events = draw(st.lists(st.tuples(st.sampled_from(("move", "scan")), st.sampled_from(ASSETS), st.sampled_from(PLACES)), max_size=14))
    return start, events


@given(histories())
def test_accuracy_equals_a_replay_of_the_ledger(history):
    start, events = history
    record = dict(start)
    moves: dict[str, list[Stay]] = {}
    sightings: dict[str, Sighting] = {}
    verdicts: dict[str, bool] = {}
    moved: set[str] = set()
    for minute, (what, asset, place) in enumerate(events, start=1):
        if what == "move":
            record[asset] = place
            moved.add(asset)
            moves.setdefault(asset, []).append(Stay(at(minute), Spot(place)))
        elif asset not in sightings:
            sightings[asset] = seen(asset, place, minute)
            verdicts[asset] = record.get(asset) == place
    union = [asset for asset in {*start, *sightings} if asset in sightings or asset not in moved]
    right = sum(verdicts.get(asset, False) for asset in union)
    result = compare(T0, {asset: Spot(place) for asset, place in start.items()}, sightings, moves)
    assert len(result.lines) == len(union)
    assert result.correct == right
    assert set(result.netted) == {asset for asset in start if asset not in sightings and asset in moved}
