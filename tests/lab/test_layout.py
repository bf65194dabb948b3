"""The plan of racks: nothing overlaps, no rack is overloaded, nothing is forgotten - for Tramline and for any fleet."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.facilities.sample import layout
from cipo.facilities.sample.layout import Machine, Plan, Position, Product, RackPlan, cells, expand, place

products = st.builds(
    Product,
    name=st.just("any"),
    height=st.sampled_from([0.5, 1, 1.5, 2, 4, 7]),
    full_depth=st.booleans(),
    weight_kg=st.floats(0, 200),
    draw_w=st.floats(0, 6000),
)
racks = st.lists(st.builds(lambda h, w, k: (h, w, k), st.integers(4, 48), st.floats(0, 20_000), st.floats(0, 2000)), min_size=1, max_size=5)


def check(plan: Plan) -> None:
    assert set(plan.positions) | set(plan.shelf) == {machine.key for machine in plan.machines}
    assert not set(plan.positions) & set(plan.shelf)
    by_key = {machine.key: machine for machine in plan.machines}
    for name, load in plan.loads.items():
        here = [(by_key[key], position) for key, position in plan.positions.items() if position.rack == name]
        taken = Counter(cell for machine, position in here for cell in cells(machine.product, position.unit, position.face))
        assert all(count == 1 for count in taken.values()), f"two machines in one half unit of {name}"
        assert all(1 <= unit < load.rack.height + 1 for side, unit in taken if side in ("front", "rear"))
        assert sum(machine.product.draw_w for machine, _ in here) <= load.rack.limit_w + 1e-6
        assert sum(machine.product.weight_kg for machine, _ in here) <= load.rack.max_weight_kg + 1e-6
        assert all(machine.site == load.rack.site for machine, _ in here)


@given(racks, st.lists(products, max_size=80))
def test_any_fleet_is_placed_without_overlap_or_overload_or_stays_on_the_shelf(sizes, fleet):
    empty = [RackPlan(f"r{index}", "s", height, limit, weight) for index, (height, limit, weight) in enumerate(sizes)]
    check(place(empty, [], [Machine(f"m{index}", product, "any", "s") for index, product in enumerate(fleet)]))


def test_heavy_machines_stand_below_light_ones():
    rack = RackPlan("r", "s", 42, 1e6, 1e6)
    fleet = [Machine(f"m{kg}", Product("p", 1, True, kg, 0), "any", "s") for kg in (3, 40, 20)]
    plan = place([rack], [], fleet)
    assert [key for key, _ in sorted(plan.positions.items(), key=lambda item: item[1].unit)] == ["m40", "m20", "m3"]


def test_what_does_not_fit_says_why():
    plan = place([RackPlan("r", "s", 42, 500, 100)], [], [Machine("big", Product("p", 1, True, 1, 501), "any", "s")])
    assert plan.shelf == {"big": "no rack of s has 1 units and 501 W left"}


def test_a_fixed_machine_on_a_taken_unit_is_a_mistake_of_the_layout():
    machine = Machine("a", Product("p", 2, True, 1, 1), "any", "s")
    other = Machine("b", Product("p", 1, False, 1, 1), "any", "s")
    with pytest.raises(ValueError, match="b does not fit"):
        place([RackPlan("r", "s", 42, 500, 100)], [(machine, Position("r", 1)), (other, Position("r", 2, "rear"))], [])


def test_tramline_is_what_it_claims_to_be():
    plan = layout.tramline()
    check(plan)
    roles = Counter(machine.role for machine in plan.machines)
    assert (roles["compute"], roles["gpu"], roles["storage"], roles["edge"]) == (112, 16, 24, 8)
    assert roles["leaf"] + roles["spine"] + roles["management"] == 28
    assert roles["power"] == 26
    assert set(plan.shelf.values()) == {"cold spare"}
    assert all(load.rack.limit_w == (2900 if name in ("lon-r1", "mad-r1") else 15_000) for name, load in plan.loads.items())


def test_a_gpu_rack_holds_at_most_two_gpu_servers():
    plan = layout.tramline()
    gpu = {machine.key for machine in plan.machines if machine.role == "gpu"}
    assert max(Counter(position.rack for key, position in plan.positions.items() if key in gpu).values()) <= 2


def test_the_same_page_gives_the_same_plan():
    first = dict(layout.tramline().positions)
    layout.tramline.cache_clear()
    assert dict(layout.tramline().positions) == first


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("Ethernet{1..3}", ["Ethernet1", "Ethernet2", "Ethernet3"]),
        ("A-{01..02}-{1..2}", ["A-01-1", "A-01-2", "A-02-1", "A-02-2"]),
        ("Q-01", ["Q-01"]),
    ],
)
def test_ranges_are_written_out(pattern, names):
    assert expand(pattern) == names
