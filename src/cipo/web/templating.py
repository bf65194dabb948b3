"""The Jinja environment: autoescape, the console's words as filters, and the loader that finds units' own pages.

A unit page's template is named ``<package>:<file>`` below its department; it lies in ``<package>/pages`` and extends ``frame.html``.
"""

from __future__ import annotations

from importlib import resources as packages
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cipo.web import svg, words

if TYPE_CHECKING:
    from cipo.web.console import Console

TEMPLATES = Path(__file__).parent / "templates"


def environment(console: Console) -> Environment:
    """The environment of one console."""
    env = Environment(
        loader=ChoiceLoader([FileSystemLoader(TEMPLATES), FunctionLoader(_unit_template)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "ago": words.ago,
        "iso": words.iso,
        "label": words.label,
        "humps": words.humps,
        "inside": words.inside,
        "tone": words.tone,
        "number": words.number,
        "sentence": words.sentence,
    }
    env.globals |= {
        "asset": console.assets.url,
        "href": console.href,
        "kind_path": console.kind_path,
        "sparkline": svg.sparkline,
        "plural": words.plural,
        "kinds_title": lambda info: words.kinds_title(info.kind, info.plural),
        "when": when,
        "measured": words.measured,
        "GLYPHS": words.GLYPHS,
        "STATE_WORDS": words.STATE_WORDS,
    }
    return env


def when(value: Any) -> Markup:
    """A moment as ``<time>``: relative words, the exact time on hover; the page's script keeps it true."""
    exact = words.iso(value)
    if not exact:
        return Markup('<span class="faint">never</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, words.ago(value))


def _unit_template(name: str) -> str | None:
    """The source of ``warehouse:receive.html`` qualified by the department: ``facilities.warehouse:receive.html``."""
    package, colon, file = name.partition(":")
    if not colon or "/" in file or not all(part.isidentifier() for part in package.split(".")):
        return None
    try:
        return (packages.files(f"cipo.{package}") / "pages" / file).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return None
