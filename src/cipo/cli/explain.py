"""``cipo explain``: what a kind and its fields mean, from the server's OpenAPI document; the same answer as kubectl's."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import Api, connect
from cipo.cli.errors import Failed
from cipo.cli.kinds import KindRow, discover
from cipo.cli.output import Format, Output

DEPTH = 12
WIDTH = 96
Schema = dict[str, Any]


class Book:
    """A group's OpenAPI document and its schemas, references followed."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Schema] = (document.get("components") or {}).get("schemas") or {}
        self._paths: dict[str, Any] = document.get("paths") or {}

    def kind(self, kind: KindRow) -> Schema:
        """The schema of a kind's objects."""
        wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        for schema in self._schemas.values():
            if wanted in (schema.get("x-kubernetes-group-version-kind") or []):
                return self.follow(schema)
        raise Failed(f"the server does not describe {kind.kind}")

    def action(self, kind: KindRow, action: str) -> Schema | None:
        """The schema of an action's input; None if it takes none."""
        operation = (self._paths.get(f"{kind.path}/{{name}}/{action}") or {}).get("post") or {}
        content = (operation.get("requestBody") or {}).get("content") or {}
        schema = (content.get("application/json") or {}).get("schema")
        return self.follow(schema) if schema else None

    def help(self, kind: KindRow, action: str) -> str:
        """What an action does."""
        operation = (self._paths.get(f"{kind.path}/{{name}}/{action}") or {}).get("post") or {}
        return str(operation.get("description") or "")

    def follow(self, schema: Schema) -> Schema:
        """A schema with its reference and its parts put together."""
        merged = dict(schema)
        for part in [*([{"$ref": merged.pop("$ref")}] if "$ref" in merged else []), *merged.pop("allOf", [])]:
            target = self._schemas.get(str(part.get("$ref", "")).rpartition("/")[2], part)
            merged = {**(self.follow(target) if target is not part else part), **merged}
        return merged

    def fields(self, schema: Schema) -> dict[str, Schema]:
        """The fields of an object, or of a list's items, or of a map's values."""
        schema = self.follow(schema)
        for inner in ("items", "additionalProperties"):
            if isinstance(schema.get(inner), dict):
                return self.fields(schema[inner])
        return {name: self.follow(field) for name, field in (schema.get("properties") or {}).items()}

    def type(self, schema: Schema) -> str:
        """A field's type as kubectl writes it: ``<string>``, ``<[]Port>``, ``<map[string]string>``."""
        schema = self.follow(schema)
        if "items" in schema:
            return "[]" + self.type(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            return "map[string]" + self.type(schema["additionalProperties"])
        if schema.get("enum"):
            return "enum"
        return str(schema.get("title") or "Object") if schema.get("properties") else str(schema.get("type") or "any")


def book(api: Api, kind: KindRow) -> Book:
    """The document of a kind's group."""
    where = api.get("/openapi/v3")["paths"].get(f"apis/{kind.group}/{kind.version}")
    if where is None:
        raise Failed(f"{kind.plural} is not one of cipo's own kinds; the server has no description of it")
    return Book(api.get(where["serverRelativeURL"]))


def explain(
    what: Annotated[str, typer.Argument(metavar="KIND[.FIELD]…", help="Such as asset, asset.spec or shipment.spec.lines.")],
    recursive: Annotated[bool, typer.Option("--recursive", help="All fields below, names and types only.")] = False,
    how: Output = Format.TABLE,
) -> None:
    """Explain a kind or one of its fields."""
    word, *path = what.split(".")
    with connect() as api:
        kind = discover(api).find(word)
        pages = book(api, kind)
    schema = pages.kind(kind)
    for depth, name in enumerate(path):
        fields = pages.fields(schema)
        if name not in fields:
            where = ".".join([word, *path[:depth]])
            raise Failed(f"{where} has no field {name!r}; it has {', '.join(fields) or 'none'}")
        schema = fields[name]
    if how is not Format.TABLE:
        output.dump(_tree(pages, schema, DEPTH if recursive else 1), how)
        return
    print(f"GROUP:      {kind.group}\nKIND:       {kind.kind}\nVERSION:    {kind.version}\n")
    if path:
        print(f"FIELD: {path[-1]} <{pages.type(schema)}>\n")
    print("DESCRIPTION:")
    print(_wrapped(str(schema.get("description") or "<no description>"), "    "))
    limits = _limits(schema)
    if limits:
        print(f"    {limits}")
    fields = pages.fields(schema)
    if fields:
        print("\nFIELDS:")
        _list(pages, schema, recursive=recursive, indent="  ", depth=DEPTH)
    if not path and kind.actions:
        print("\nACTIONS:")
        for action in kind.actions:
            print(f"  {action}\n{_wrapped(pages.help(kind, action), '    ')}\n")


def _list(pages: Book, schema: Schema, *, recursive: bool, indent: str, depth: int) -> None:
    inner = pages.follow(schema)
    while "items" in inner:
        inner = pages.follow(inner["items"])
    required = set(inner.get("required") or ())
    for name, field in pages.fields(schema).items():
        print(f"{indent}{output.plain(name)}\t<{pages.type(field)}>{' -required-' if name in required else ''}")
        if recursive:
            if depth > 1:
                _list(pages, field, recursive=True, indent=indent + "  ", depth=depth - 1)
            continue
        print(_wrapped(str(field.get("description") or "<no description>"), indent + "  "))
        limits = _limits(field)
        print(f"{indent}  {limits}\n" if limits else "")


def _limits(field: Schema) -> str:
    """What values it takes, in a line."""
    parts = []
    if field.get("enum"):
        parts.append("one of " + ", ".join(output.plain(value) for value in field["enum"]))
    for key, words in (("minimum", "at least"), ("maximum", "at most"), ("maxLength", "at most"), ("maxItems", "at most")):
        if key in field:
            unit = {"maxLength": " characters", "maxItems": " items"}.get(key, "")
            parts.append(f"{words} {field[key]:g}{unit}")
    if field.get("pattern"):
        parts.append(f"matches {output.plain(field['pattern'])}")
    if field.get("default") not in (None, "", [], {}):
        parts.append(f"default {output.plain(field['default'])}")
    return "; ".join(parts)


def _tree(pages: Book, schema: Schema, depth: int) -> dict[str, Any]:
    schema = pages.follow(schema)
    tree: dict[str, Any] = {"type": pages.type(schema), "description": schema.get("description", "")}
    limits = _limits(schema)
    if limits:
        tree["limits"] = limits
    fields = pages.fields(schema)
    if fields and depth:
        tree["fields"] = {name: _tree(pages, field, depth - 1) for name, field in fields.items()}
    return tree


def _wrapped(text: str, indent: str) -> str:
    lines = [textwrap.fill(output.plain(line), WIDTH, initial_indent=indent, subsequent_indent=indent) for line in text.splitlines()]
    return "\n".join(lines)
