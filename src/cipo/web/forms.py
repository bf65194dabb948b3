"""Forms made from a model's declaration: the fields to show, their values out of an object, and an object out of what was posted.

Create, edit and action forms all come from here. The server's own validation decides; a form only carries words and shows causes beside
the fields they name.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from cipo.kernel.errors import BadRequest, Cause
from cipo.kernel.models import Model, Ref, target_name
from cipo.kernel.unit import DeclarationError, KindInfo
from cipo.kernel.wire.decode import decode_yaml
from cipo.web import words

Control = Literal["text", "long", "number", "integer", "bool", "choice", "ref", "lines", "yaml", "group"]
LONG_FROM = 400
DEPTH_MAX = 6
Target = Callable[[Any], KindInfo | None]


@dataclass(slots=True)
class Field:
    """One control of a form."""

    path: str
    control: Control
    label: str
    help: str
    required: bool = False
    immutable: bool = False
    choices: tuple[str, ...] = ()
    target: KindInfo | None = None
    pattern: str = ""
    minimum: float | None = None
    maximum: float | None = None
    length: int | None = None
    default: str = ""
    children: list[Field] = field(default_factory=list)
    value: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The last word of the path: the member's name."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def ident(self) -> str:
        """An HTML id."""
        return "f-" + self.path.replace(".", "-")


def fields_of(model: type[Model], root: str, target: Target) -> list[Field]:
    """The controls for a model's fields; ``target`` finds the kind that a reference points to."""
    schema = model.model_json_schema(by_alias=True)
    return _fields(model, root, schema, schema, target, 0)


def _fields(
    model: type[BaseModel], root: str, node: Mapping[str, Any], schema: Mapping[str, Any], target: Target, depth: int
) -> list[Field]:
    required = set(node.get("required", ()))
    made = []
    for name, info in model.model_fields.items():
        alias = info.alias or name
        part = node.get("properties", {}).get(alias, {})
        made.append(_field(f"{root}.{alias}" if root else alias, info.annotation, part, schema, target, depth, required=alias in required))
    return made


def _field(
    path: str, annotation: Any, part: Mapping[str, Any], schema: Mapping[str, Any], target: Target, depth: int, *, required: bool
) -> Field:
    core = _core(annotation)
    rules = {**_resolved(part, schema), **{key: value for key, value in part.items() if key not in ("anyOf", "allOf", "$ref")}}
    made = Field(path, "text", words.label(path), str(part.get("description") or rules.get("description") or ""), required=required)
    made.immutable = bool(rules.get("x-cipo-immutable"))
    default = part.get("default")
    made.default = _text(default) if isinstance(default, str | int | float | bool) else ""
    made.pattern, made.length = str(rules.get("pattern") or ""), rules.get("maxLength")
    made.minimum, made.maximum = rules.get("minimum"), rules.get("maximum")
    if _is_ref(core):
        made.control, made.target = "ref", target(_ref_target(core))
    elif isinstance(core, type) and issubclass(core, BaseModel) and depth < DEPTH_MAX:
        made.control = "group"
        made.children = _fields(core, path, _resolved(part, schema), schema, target, depth + 1)
        if not required:  # a browser must not insist on a part of something that may be absent
            for child in walk(made.children):
                child.required = False
    else:
        made.control = _control(rules)
        made.choices = tuple(str(item) for item in rules.get("enum", ()) or ([rules["const"]] if "const" in rules else ()))
        if made.control == "lines":
            inner = [arg for arg in get_args(core) if _is_ref(_core(arg))]
            made.target = target(_ref_target(_core(inner[0]))) if inner else None
    return made


def _control(rules: Mapping[str, Any]) -> Control:
    if "enum" in rules or "const" in rules:
        return "choice"
    simple: Mapping[str, Control] = {"boolean": "bool", "integer": "integer", "number": "number"}
    kind = str(rules.get("type"))
    if kind == "array":
        return "lines" if rules.get("items", {}).get("type") in ("string", "integer", "number") else "yaml"
    if kind == "string":
        return "long" if (rules.get("maxLength") or 0) >= LONG_FROM else "text"
    return simple.get(kind, "yaml")


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of a property behind ``$ref`` and ``anyOf … null``."""
    for option in (part, *part.get("anyOf", ()), *part.get("allOf", ())):
        if "$ref" in option:
            found: dict[str, Any] = schema.get("$defs", {}).get(option["$ref"].rsplit("/", 1)[-1], {})
            return found
        if option.get("type") not in (None, "null") and "anyOf" not in option:
            return dict(option)
    return dict(part)


def _core(annotation: Any) -> Any:
    """The type inside ``X | None`` and ``Annotated``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _core(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _core(inner[0]) if len(inner) == 1 else annotation
    return annotation


def _is_ref(core: Any) -> bool:
    return core is Ref or get_origin(core) is Ref


def _ref_target(core: Any) -> Any:
    args = get_args(core)
    if not args:
        return None
    return args[0] if isinstance(args[0], type) else getattr(args[0], "__forward_arg__", str(args[0]))


def walk(fields: Iterable[Field]) -> Iterable[Field]:
    """All controls, groups included."""
    for item in fields:
        yield item
        yield from walk(item.children)


def fill(fields: Iterable[Field], obj: Any) -> None:
    """Put the values of an object (the part at the fields' root) into the controls."""
    for item in fields:
        value = obj.get(item.key) if isinstance(obj, Mapping) else None
        if item.control == "group":
            fill(item.children, value)
        elif value is None:
            item.value = ""
        elif item.control == "lines" and isinstance(value, list):
            item.value = "\n".join(_text(entry) for entry in value)
        elif item.control == "yaml":
            item.value = to_yaml(value) if value not in ([], {}) else ""
        else:
            item.value = _text(value)


def refill(fields: Iterable[Field], form: Mapping[str, Any]) -> None:
    """Keep what was typed, for showing the form again."""
    for item in walk(fields):
        item.value = str(form.get(item.path) or "")


def parse(fields: Iterable[Field], form: Mapping[str, Any]) -> dict[str, Any]:
    """The object that a form describes; empty controls are left out. Raises BadRequest for a part that is not YAML."""
    made: dict[str, Any] = {}
    for item in fields:
        value = (
            parse(item.children, form) if item.control == "group" else _value(item, str(form.get(item.path) or "").replace("\r\n", "\n"))
        )
        if value not in (None, {}):
            made[item.key] = value
    return made


def _value(item: Field, text: str) -> Any:
    plain = text.strip()
    if not plain:
        return None
    match item.control:
        case "bool":
            return plain == "true"
        case "integer" | "number":
            return _number(plain)
        case "lines":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "yaml":
            try:
                return decode_yaml(text.encode())
            except BadRequest as error:
                raise BadRequest(f"{item.label}: {error.message}", causes=[Cause(item.path, error.message)]) from error
        case _:
            return plain


def _number(text: str) -> int | float | str:
    """A number, or the words themselves: the server then says what is wrong with them."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def mark(fields: list[Field], causes: Iterable[Cause], prefix: str = "") -> list[Cause]:
    """Put causes beside the controls they name; returns those that name none."""
    by_path = {item.path: item for item in walk(fields)}
    rest = []
    for cause in causes:
        path = f"{prefix}{cause.field}".partition("[")[0]
        while path and path not in by_path:
            path = path.rpartition(".")[0]
        if path and by_path[path].control != "group":
            by_path[path].errors.append(cause.message)
        else:
            rest.append(cause)
    return rest


def to_yaml(value: Any) -> str:
    """YAML as people write it: block style, order kept, long lines whole."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
    return text


def ref_paths(kind: KindInfo, target: Target) -> dict[str, KindInfo]:
    """Where a kind holds references, and to which kind: for links in lists."""
    found: dict[str, KindInfo] = {}
    for model, root in ((kind.spec_cls, "spec"), (kind.status_cls, "status")):
        for item in walk(fields_of(model, root, target)):
            if item.target is not None:
                found[item.path] = item.target
    return found


def target_of(registry_target: Callable[[KindInfo, Any], KindInfo], kind: KindInfo) -> Target:
    """The look-up for one kind's references; None for a kind that is not installed."""

    def find(wanted: Any) -> KindInfo | None:
        try:
            return registry_target(kind, wanted) if target_name(wanted) else None
        except DeclarationError:  # a reference to a kind of another installation is shown as plain text
            return None

    return find


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
