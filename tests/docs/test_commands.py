"""The commands of README.md and docs/ run as they stand.

A fenced block marked ```console is run, in the order of its page: lines that start with ``$ `` are commands, the rest is shown output.
``console refused`` marks commands that must be refused (exit code 1), ``console no-run <reason>`` keeps a block out, with its reason. All
blocks of a page share one directory and one environment in which ``cipo`` and kubectl (by ``KUBECONFIG=k``) mean a live plane; a page that
needs objects makes them itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.live import Live, plane

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]  # the README goes furthest, so it comes last
BLOCK = re.compile(r"^```console(?P<more>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^```console", re.M)
SAMPLE = 214  # tags that the sample organisation has used up, so that a reader's first one is the README's


@dataclass(frozen=True)
class Command:
    """One command of a page, and where it stands."""

    page: Path
    line: int
    text: str
    code: int


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """(line, what follows the word console, the body) of each block."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found["more"].strip(), found["body"]


def commands(page: Path) -> list[Command]:
    return [
        Command(page, at + offset, line[2:], int(more == "refused"))
        for at, more, body in blocks(page)
        if more in ("", "refused")
        for offset, line in enumerate(body.splitlines(), start=1)
        if line.startswith("$ ")
    ]


RUN = [page for page in PAGES if commands(page)]


@pytest.fixture(scope="module")
def live(module_dsn: str) -> Iterator[Live]:
    """A plane on which as many tags are used as the sample organisation uses."""
    with psycopg.connect(module_dsn, autocommit=True) as connection:
        connection.execute("insert into cipo.counter (name, value) values ('1A/U-W1/tag', %s)", (SAMPLE,))
    with plane(module_dsn) as running:
        (running.home / "k").write_bytes(
            subprocess.run(["cipo", "kubeconfig"], env=environment(running), stdout=subprocess.PIPE, check=True).stdout
        )
        yield running


def environment(live: Live) -> dict[str, str]:
    """The reader's: the CLI under test comes first; nothing is written into a real home directory."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return live.env | {"PATH": path, "KUBECONFIG": "k", "NO_COLOR": "1", "HOME": str(live.home)}


@pytest.mark.kubectl
@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("page", RUN, ids=[str(page.relative_to(ROOT)) for page in RUN])
def test_the_commands_of_a_page_run(page: Path, live: Live, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copy(live.home / "k", tmp_path)
    env = environment(live)
    for command in commands(page):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command.text], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        where = f"{page.relative_to(ROOT)}:{command.line}"
        assert done.returncode == command.code, f"{where}: {command.text}\nexit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_block_is_well_formed_and_what_is_not_run_says_why(page: Path) -> None:
    found = list(blocks(page))
    assert len(found) == len(FENCE.findall(page.read_text(encoding="utf-8")))
    for line, more, body in found:
        assert more in ("", "refused") or re.fullmatch(r"no-run \S.{8,}", more), (
            f"{page.name}:{line}: say why this block is not run: console no-run <reason>"
        )
        assert any(text.startswith("$ ") for text in body.splitlines()), f"{page.name}:{line}: no command in this block"


def test_the_readme_walks_the_main_way() -> None:
    words = " ".join(command.text for command in commands(ROOT / "README.md"))
    for word in ("kubectl apply", "cipo receive", "place", "count", "close", "cipo kpi explain"):
        assert word in words


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [*re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []
