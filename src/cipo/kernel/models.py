"""The words a unit's module is written in: models, kinds, references, claims, printer columns.

A unit declares its resources with these and nothing else; the kernel derives the API, OpenAPI, kubectl columns, forms,
permissions and tests from the declarations. Names are snake_case in Python and camelCase on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUndefined, core_schema

if TYPE_CHECKING:
    from cipo.kernel.store.admission import Asking
    from cipo.kernel.unit import KindInfo

# RFC 1123 subdomain, as Kubernetes names are.
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NAME_MAX = 253
TEXT_MAX = 4096


class Model(BaseModel):
    """A part of a spec, a status or an action's input. Unknown fields are errors; an attribute's docstring or ``help`` describes it."""

    model_config = ConfigDict(
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        validate_assignment=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
    )

    def wire(self) -> dict[str, Any]:
        """The JSON object of this model, camelCase, without absent fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def field(
    default: Any = PydanticUndefined,
    *,
    help: str = "",
    min: float | None = None,
    max: float | None = None,
    length: int | None = None,
    pattern: str | None = None,
    immutable: bool = False,
    key: str | None = None,
    each: int | None = None,
) -> Any:
    """Declare a field: its ``help``, bounds, and how it behaves.

    ``length`` bounds a string's characters, ``each`` a list's items; ``min``/``max`` bound a number. ``immutable``
    refuses a change after creation. ``key`` names the field that identifies an entry of a list (server-side apply merges by it).
    ``default`` may be a callable.
    """
    extra: dict[str, Any] = {}
    if immutable:
        extra["x-cipo-immutable"] = True
    if key:
        extra |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    common: dict[str, Any] = {"description": help or None, "ge": min, "le": max, "pattern": pattern, "json_schema_extra": extra or None}
    common["max_length"] = length if length is not None else each
    if callable(default):
        return Field(default_factory=default, **common)
    return Field(default=default, **common)


K = TypeVar("K")


class Ref(Generic[K]):
    """A reference to another resource by name; on the wire it is the name alone.

    The store resolves it in the write transaction: a missing target is refused (422), and a target that is still
    referred to cannot be deleted (409). ``uid`` is filled once resolved.
    """

    __slots__ = ("name", "target", "uid")

    def __init__(self, name: str, *, uid: str | None = None, target: type[Any] | str | None = None) -> None:
        self.name = name
        self.uid = uid
        self.target = target

    @classmethod
    def to(cls, resource: Kind[Any, Any]) -> Ref[Any]:
        """A reference to a resource at hand."""
        return cls(resource.metadata.name, uid=resource.metadata.uid, target=type(resource))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Ref({self.name!r})"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        args = get_args(source)
        target: type[Any] | str | None = None
        if args and not isinstance(args[0], TypeVar):
            target = args[0] if isinstance(args[0], type) else getattr(args[0], "__forward_arg__", str(args[0]))

        def build(value: Any) -> Ref[Any]:
            if isinstance(value, Ref):
                return value if value.target is not None else cls(value.name, uid=value.uid, target=target)
            return cls(value, target=target)

        name = core_schema.str_schema(min_length=1, max_length=NAME_MAX)
        return core_schema.no_info_after_validator_function(
            build,
            core_schema.union_schema([core_schema.is_instance_schema(Ref), name], mode="left_to_right"),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda ref: ref.name, return_schema=core_schema.str_schema()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "maxLength": NAME_MAX, "format": "cipo-ref"}


def target_name(ref_target: type[Any] | str | None) -> str:
    """The kind name that a reference points to."""
    if ref_target is None:
        return ""
    return ref_target if isinstance(ref_target, str) else ref_target.__name__


class OwnerReference(Model):
    """Who made this object, as Kubernetes writes it."""

    api_version: str = field(length=256, help="API version of the owner.")
    kind: str = field(length=256, help="Kind of the owner.")
    name: str = field(length=NAME_MAX, help="Name of the owner.")
    uid: str = field(length=64, help="Uid of the owner.")
    controller: bool | None = field(None, help="Whether the owner manages this object.")
    block_owner_deletion: bool | None = field(None, help="Kept for Kubernetes clients.")


class Metadata(Model):
    """Object metadata as in Kubernetes (meta/v1 ObjectMeta)."""

    name: str = field("", length=NAME_MAX, help="Unique within the kind; a DNS subdomain (RFC 1123).")
    generate_name: str | None = field(None, length=200, help="Prefix for a name that the server completes.")
    uid: str = field("", length=64, help="Set by the server (UUIDv7).")
    resource_version: str = field("", length=32, help="Sequence number of the event that wrote the object.")
    generation: int = field(0, help="Grows with each change of the spec.")
    creation_timestamp: str | None = field(None, help="When the object was created (UTC).")
    deletion_timestamp: str | None = field(None, help="When deletion was asked for; the object goes when its finalizers are gone.")
    labels: dict[str, str] = field(dict, help="Key-value pairs to select by.")
    annotations: dict[str, str] = field(dict, help="Key-value pairs that tools keep.")
    finalizers: list[str] = field(list, each=20, help="Who must clean up before the object goes.")
    owner_references: list[OwnerReference] = field(list, each=20, help="Who made this object.")
    managed_fields: list[dict[str, Any]] = field(list, help="Which manager owns which field (server-side apply).")


class Condition(Model):
    """A statement about the object, with its reason (meta/v1 Condition)."""

    type: str = field(length=128, help="What the statement is about.")
    status: Literal["True", "False", "Unknown"] = field(help="Whether it holds.")
    reason: str = field("", length=256, help="One word why.")
    message: str = field("", length=4096, help="A sentence for the reader: what happened and what to do.")
    last_transition_time: str = field("", length=40, help="When the status last changed (UTC).")


class Status(Model):
    """What the unit has observed. The kernel keeps the three fields here; a kind adds its own."""

    conditions: list[Condition] = field(list, key="type", help="Statements about the object, in words.")
    observed_generation: int = field(0, help="The generation the reconciler has last seen.")
    next_reconcile: str | None = field(None, help="When the reconciler looks again, if it waits for a time.")


S = TypeVar("S", bound=Model)
T = TypeVar("T", bound=Status)


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that one resource at a time may hold within a scope, e.g. a serial number. Kept in the write transaction."""

    scope: str
    value: str
    path: str = "spec"


@dataclass(frozen=True, slots=True)
class RangeClaim:
    """A range of whole numbers [lo, hi) that no other resource in the scope may overlap, e.g. half rack units.

    ``label`` says the range in the words of its users (``U10 front``), for the refusal.
    """

    scope: str
    lo: int
    hi: int
    path: str = "spec"
    label: str = ""


class Kind(Model, Generic[S, T]):
    """A resource: what people want (``spec``), what is so (``status``). Subclass as ``class Asset(Kind[AssetSpec, AssetStatus])``."""

    info: ClassVar[KindInfo]

    metadata: Metadata = field(Metadata, help="Name, labels and what the server keeps.")
    spec: S = field(help="What people want.")
    status: T = field(None, help="What is so; written by the unit.")

    @classmethod
    def new(cls, name: str = "", /, *, labels: dict[str, str] | None = None, generate_name: str | None = None, **spec: Any) -> Self:
        """A fresh object with a default status, not yet stored."""
        spec_cls, status_cls = cls.parts()
        metadata = Metadata(name=name, labels=labels or {}, generate_name=generate_name)
        return cls(metadata=metadata, spec=spec_cls(**spec), status=status_cls())

    @classmethod
    def parts(cls) -> tuple[type[Model], type[Status]]:
        """The classes of spec and status."""
        return _parts(cls)

    @property
    def name(self) -> str:
        """Short for ``metadata.name``."""
        return self.metadata.name

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for."""
        return self.metadata.deletion_timestamp is not None

    def claims(self) -> Iterable[Claim | RangeClaim]:
        """What this object holds alone. Computed from the object, on each write."""
        return ()

    def validate_change(self, old: Self | None, ctx: Asking) -> Iterable[tuple[str, str]]:
        """Pairs of (field path, what is wrong and what to do). All are reported together. Pure."""
        return ()

    def default(self) -> None:
        """Fill in what follows from the rest (e.g. a normalised serial), before validation. Pure."""


@cache
def _parts(cls: type[Kind[Any, Any]]) -> tuple[type[Model], type[Status]]:
    spec, status = cls.model_fields["spec"].annotation, cls.model_fields["status"].annotation
    if not (isinstance(spec, type) and issubclass(spec, Model) and isinstance(status, type) and issubclass(status, Status)):
        raise TypeError(f"{cls.__name__}: write it as class {cls.__name__}(Kind[Spec, Status])")
    return spec, status


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column: a title and where the value lies (``spec.model``). ``wide`` shows it only with ``-o wide``."""

    title: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    wide: bool = False
    help: str = ""


@cache
def _holds_refs(cls: type[BaseModel]) -> bool:
    # A conservative look at the declared types: only models that can hold a Ref are walked.
    return any("Ref[" in str(info.annotation) or _nested_refs(info.annotation) for info in cls.model_fields.values())


def _nested_refs(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _holds_refs(annotation)
    if annotation is Ref:
        return True
    return any(_nested_refs(arg) for arg in get_args(annotation))


@cache
def _ref_fields(cls: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The fields that can hold a Ref, each with its name on the wire."""
    holding = (
        (name, info.alias or name)
        for name, info in cls.model_fields.items()
        if "Ref[" in str(info.annotation) or _nested_refs(info.annotation)
    )
    return tuple(holding)


def refs_of(value: Any, path: str) -> Iterator[tuple[str, Ref[Any]]]:
    """Every reference in a model with its path, e.g. ``("spec.model", Ref("dell-r650"))``."""
    if isinstance(value, Ref):
        yield path, value
    elif isinstance(value, BaseModel):
        if _holds_refs(type(value)):
            for name, alias in _ref_fields(type(value)):
                yield from refs_of(getattr(value, name), f"{path}.{alias}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refs_of(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from refs_of(item, f"{path}.{key}")
