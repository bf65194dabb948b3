"""The simulator can write no fact and no status: what it imports is checked, directly and through others."""

from __future__ import annotations

import grimp
import pytest

FORBIDDEN = ("cipo.kernel.store", "cipo.kernel.slo", "cipo.kernel.ctx", "cipo.kernel.engine", "psycopg")
SIMULATOR = ("cipo.lab", "cipo.facilities.sample", "cipo.facilities.world")


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("cipo", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


def inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def test_the_simulator_reaches_neither_store_nor_facts(graph):
    reached = set()
    for module in graph.modules:
        if inside(module, SIMULATOR):
            reached |= {module, *graph.find_upstream_modules(module)}
    assert any(inside(module, SIMULATOR) for module in reached)
    assert sorted(module for module in reached if inside(module, FORBIDDEN)) == []


def test_the_simulator_imports_no_department_code_but_its_world(graph):
    """People act by HTTP; importing a kind would be a way round."""
    for module in graph.modules:
        if inside(module, SIMULATOR):
            for imported in graph.find_modules_directly_imported_by(module):
                assert not imported.startswith("cipo.facilities") or inside(imported, SIMULATOR), f"{module} imports {imported}"


def test_nothing_in_the_organisation_knows_the_lab(graph):
    knowing = {
        importer
        for module in graph.modules
        if inside(module, ("cipo.lab",))
        for importer in graph.find_modules_that_directly_import(module)
        if not inside(importer, ("cipo.lab", "cipo.cli"))
    }
    assert knowing == set()
