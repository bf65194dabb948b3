"""``cipo apply`` and ``edit``: files in, objects out. Also reads the files that ``delete -f`` and ``do -f`` take.

A file is YAML (documents parted by ``---``) or JSON, read with the server's own strict reader, so that a duplicate key or an alias is
refused here with its line. Applying is server-side: fields of other managers stay, conflicts name who holds them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import MANAGER, Api, connect, query
from cipo.cli.errors import Failed, Refused, Usage
from cipo.cli.kinds import KindRow, discover, split
from cipo.cli.objects import each
from cipo.cli.output import Format

DOCUMENT = re.compile(rb"^---(?:[ \t].*)?\r?$", re.MULTILINE)
SUFFIXES = (".yaml", ".yml", ".json")
FILE_MAX_BYTES = 64 * 1024 * 1024

Files = Annotated[list[Path], typer.Option("--filename", "-f", help="A file, a directory of them, or - for standard input.")]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file, and where it was found."""

    obj: dict[str, Any]
    source: str

    @property
    def name(self) -> str:
        """Its name; empty if it has none."""
        metadata = self.obj.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else ""


def apply(
    files: Files,
    how: Annotated[Format | None, typer.Option("--output", "-o", help="Print the objects as the server has them now.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take fields over that another manager holds.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the server, change nothing.")] = False,
    manager: Annotated[str, typer.Option("--field-manager", help="The name under which the fields are held.")] = MANAGER,
) -> None:
    """Make objects as files say: create what is missing, change what differs."""
    manifests = read(files)
    if not manifests:
        raise Usage("the files hold no objects")
    params = query(fieldManager=manager, fieldValidation="Strict", force="true" if force else "", dryRun="All" if dry_run else "")
    results: list[dict[str, Any]] = []
    with connect() as api:
        kinds = discover(api)
        with output.progress("Applying", len(manifests)) as step:

            def one(index: int) -> None:
                manifest = manifests[index]
                kind = kinds.of(manifest.obj)
                result, word = apply_one(api, kind, manifest.obj, params)
                results.append(result)
                if how is None:
                    output.say(f"{kind.label}/{manifest.name} {word}{' (dry run)' if dry_run else ''}")
                step()

            each([manifest.source for manifest in manifests], one)
    if how is not None:
        output.dump(results[0] if len(results) == 1 else {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": results}, how)


def edit(what: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Which object.")]) -> None:
    """Edit an object in $EDITOR and send it back; refused while somebody else wrote in between."""
    kind_word, name = split(what)
    with connect() as api:
        kind = discover(api).find(kind_word)
        before = api.get(kind.of(name))
        (before.get("metadata") or {}).pop("managedFields", None)
        text = output.to_yaml(before)
        changed = _edited(text, f"{kind.plural}-{name}")
        if changed == text:
            output.note("Nothing was changed.")
            return
        try:
            api.json(
                "PUT",
                kind.of(name),
                json=_documents(changed.encode(), what)[0],
                params=query(fieldManager=MANAGER, fieldValidation="Strict"),
            )
        except (Refused, Usage) as error:
            error.todo = f"Your text is kept in {_keep(changed)}."
            raise
    output.say(f"{kind.label}/{name} edited")


def read(files: Iterable[Path]) -> list[Manifest]:
    """All objects of some files, in order; a List is taken apart."""
    found: list[Manifest] = []
    for file in files:
        if file.is_dir():
            inside = sorted(path for path in file.iterdir() if path.suffix in SUFFIXES)
            if not inside:
                raise Usage(f"{file}: the directory holds no {', '.join(SUFFIXES)} file")
            found += read(inside)
            continue
        for number, obj in enumerate(_documents(content(file), str(file)), 1):
            items = obj.get("items") if str(obj.get("kind", "")).endswith("List") else None
            found += [Manifest(item, f"{file} (document {number})") for item in (items if isinstance(items, list) else [obj])]
    for manifest in found:
        if not isinstance(manifest.obj, dict) or not (manifest.obj.get("apiVersion") and manifest.obj.get("kind")):
            raise Usage(f"{manifest.source}: apiVersion and kind are missing; every object says what it is")
        if not manifest.name:
            raise Usage(f"{manifest.source}: metadata.name is missing; give the object a name")
    return found


def content(file: Path) -> bytes:
    """A file's bytes, or standard input's for ``-``."""
    try:
        data = sys.stdin.buffer.read(FILE_MAX_BYTES + 1) if str(file) == "-" else _bounded(file)
    except OSError as error:
        raise Usage(f"{file}: {error.strerror}") from error
    if len(data) > FILE_MAX_BYTES:
        raise Usage(f"{file}: larger than {FILE_MAX_BYTES >> 20} MiB; split it")
    return data


def value_of(data: bytes, source: str) -> Any:
    """One JSON or YAML value."""
    from cipo.kernel.errors import ApiError  # noqa: PLC0415
    from cipo.kernel.wire.decode import decode  # noqa: PLC0415

    try:
        return decode(data, "application/yaml")
    except ApiError as error:
        raise Usage(f"{source}: {error.message.replace('the body', 'the file')}") from error


def apply_one(api: Api, kind: KindRow, obj: dict[str, Any], params: Any) -> tuple[dict[str, Any], str]:
    """Apply one object server-side; the object as it is then, and the word for what happened."""
    path = kind.of(obj["metadata"]["name"])
    try:
        before = api.get(path)["metadata"]["resourceVersion"]
    except Refused as refused:
        if refused.code != 404:
            raise
        before = None
    headers = {"Content-Type": "application/apply-patch+yaml"}
    after = api.json("PATCH", path, content=json.dumps(obj).encode(), headers=headers, params=params)
    word = "created" if before is None else "unchanged" if before == after["metadata"]["resourceVersion"] else "configured"
    return after, word


def _documents(data: bytes, source: str) -> list[dict[str, Any]]:
    parts = [part for part in DOCUMENT.split(data) if _says_something(part)]
    values = [value_of(part, source if len(parts) == 1 else f"{source} (document {number})") for number, part in enumerate(parts, 1)]
    for value in values:
        if not isinstance(value, dict):
            raise Usage(f"{source}: holds {type(value).__name__}, not an object")
    return values


def _says_something(part: bytes) -> bool:
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in part.splitlines())


def _bounded(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(FILE_MAX_BYTES + 1)


def _edited(text: str, name: str) -> str:
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="cipo-edit-") as directory:
        file = Path(directory) / f"{name[:100]}.yaml"
        file.write_text(text)
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)  # noqa: S603 - the person's own editor
        except OSError as error:
            raise Failed(
                f"the editor {editor!r} cannot be started: {error.strerror}", todo="Set EDITOR to one that is installed."
            ) from error
        if done.returncode:
            raise Failed(f"the editor ended with {done.returncode}; nothing was sent")
        return file.read_text()


def _keep(text: str) -> str:
    import tempfile  # noqa: PLC0415

    descriptor, path = tempfile.mkstemp(prefix="cipo-edit-", suffix=".yaml")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
