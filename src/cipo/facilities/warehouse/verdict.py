"""What the dock says to a scan: the verdict table, pure. ``shipment`` looks things up, asks here, and does what the verdict says.

scanned                                            verdict
serial that the shipment announces, not here yet   ok
new serial, model known and a line has room        ok
serial this shipment has already received          duplicate (when)
serial of an asset that is somewhere else          alreadyOwned (where)
serial of something built into another asset       isComponentOf (its parent)
serial on the warehouse's hold list                hold (why)
serial not among the announced ones of its line    notAnnounced (accepted when a reason is given)
GTIN or part number of a model not on the shipment wrongModel (what is expected)
every line of the model is full                    overQuantity
GTIN or part number alone, or a free tag           incomplete (what to scan next)
several readings or several lines fit              ambiguous (the screen asks, never guesses)
bin code, package code                             place, package
wrong check digit, broken code                     badCode (with the right digit)
nothing we know                                    unknownCode
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cipo.facilities.shapes import junk_serial, normal_serial
from cipo.facilities.warehouse.scan import Reading

Word = Literal[
    "ok", "duplicate", "alreadyOwned", "isComponentOf", "hold", "notAnnounced", "wrongModel", "overQuantity",
    "incomplete", "ambiguous", "place", "package", "badCode", "unknownCode",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the shipment as it stands."""

    number: int
    model: str
    title: str
    quantity: int
    received: int
    serials: frozenset[str] = frozenset()

    @property
    def room(self) -> int:
        """How many more it takes."""
        return max(0, self.quantity - self.received)


@dataclass(frozen=True, slots=True)
class Owner:
    """An asset that already has a serial or tag that was scanned."""

    name: str
    model: str
    here: bool  # received with this shipment
    expected: bool  # ordered or on its way, so it may be received now
    where: str
    when: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the records say about the values of a reading."""

    by_serial: Mapping[str, Owner] = field(default_factory=dict)
    by_tag: Mapping[str, Owner] = field(default_factory=dict)
    model_of: Mapping[str, str] = field(default_factory=dict)  # GTIN or part number -> model
    packages: Mapping[str, str] = field(default_factory=dict)  # SSCC -> what is in it
    holds: Mapping[str, str] = field(default_factory=dict)  # serial -> reason


@dataclass(frozen=True, slots=True)
class Ask:
    """What the person gave besides the payload."""

    line: int | None = None
    serial: str = ""
    tag: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, in one word and in a sentence, and what follows from it."""

    word: Word
    message: str
    line: int | None = None
    serial: str = ""
    tag: str = ""
    asset: str = ""
    place: str = ""

    @property
    def accepted(self) -> bool:
        """Whether a thing was received."""
        return self.word == "ok"


def judge(reading: Reading, ask: Ask, lines: tuple[Line, ...], known: Known) -> Judgement:
    """The verdict on one scan. Pure: the same question has the same answer."""
    judged = _no_thing(reading, known)
    if judged:
        return judged
    taken = known.by_tag.get(ask.tag) if ask.tag else None
    if taken:
        return Judgement(
            "alreadyOwned", f"tag {ask.tag} is on {taken.name} ({taken.where}); take another label", asset=taken.name, tag=ask.tag
        )
    article, refused = _article(reading, lines, known)
    return refused or _thing(reading, ask, lines, known, article)


def _no_thing(reading: Reading, known: Known) -> Judgement | None:
    """The verdict on a code that is no piece: broken, a place, a package, a label of ours."""
    if not reading.candidates:
        broken = "check digit" in reading.fault or reading.form in ("gs1", "iso-15434")
        return Judgement("badCode" if broken else "unknownCode", reading.fault or "nothing is known about it")
    if reading.form == "place":
        return _place(reading)
    sscc = reading.first("sscc")
    if sscc and (reading.form != "bare" or sscc in known.packages):
        return _package(sscc, known)
    return _tag(reading.first("tag"), known) if reading.first("tag") else None


def _place(reading: Reading) -> Judgement:
    if reading.first("bin"):
        return Judgement("place", f"bin {reading.first('bin')}: what is scanned next lies here", place=reading.first("bin"))
    return Judgement(
        "unknownCode", f"that is rack {reading.first('rack')}; receive things into a bin and place them in the rack afterwards"
    )


def _package(sscc: str, known: Known) -> Judgement:
    if sscc in known.packages:
        return Judgement("package", f"package {sscc}: {known.packages[sscc]}")
    return Judgement("unknownCode", f"package {sscc} is not on this shipment; is it another delivery?")


def _tag(tag: str, known: Known) -> Judgement:
    owner = known.by_tag.get(tag)
    if owner is None:
        return Judgement("incomplete", f"{tag} is a free label; now scan the serial number of the thing it goes on", tag=tag)
    return _owned(owner, tag)


def _owned(owner: Owner, value: str) -> Judgement:
    if owner.parent:
        return Judgement(
            "isComponentOf", f"{value} is {owner.name}, built into {owner.parent}; scan {owner.parent} itself", asset=owner.name
        )
    if owner.here:
        return Judgement("duplicate", f"{value} was received as {owner.name} at {owner.when}", asset=owner.name)
    return Judgement(
        "alreadyOwned", f"{value} is {owner.name}, by the record {owner.where}; set it aside and call the asset manager", asset=owner.name
    )


def _article(reading: Reading, lines: tuple[Line, ...], known: Known) -> tuple[str, Judgement | None]:
    """The model that the code itself names, or why it cannot be received."""
    structured = reading.form != "bare"
    codes = [*reading.values("gtin"), *reading.values("part")]
    models = list(dict.fromkeys(known.model_of[code] for code in codes if code in known.model_of))
    wanted = {line.model: line.title for line in lines}
    on_order = [model for model in models if model in wanted]
    if on_order:
        return on_order[0], None
    if models:
        return "", Judgement("wrongModel", f"that is {models[0]}; this shipment has {_told(wanted.values())}")
    gtin = reading.first("gtin")
    if structured and gtin:
        return "", Judgement("unknownCode", f"GTIN {gtin} belongs to no model; add it to the model's gtins, then scan again")
    return "", None


def _thing(reading: Reading, ask: Ask, lines: tuple[Line, ...], known: Known, article: str) -> Judgement:
    serials = [serial for serial in dict.fromkeys(normal_serial(value) for value in reading.values("serial")) if not junk_serial(serial)]
    if reading.form == "bare" and article:
        serials = []  # it is the number of the article, so not of this piece
    if ask.serial:
        serials = [serial for serial in serials if serial == normal_serial(ask.serial)]
    for serial in serials:
        if serial in known.holds:
            return Judgement("hold", f"stop: {serial}: {known.holds[serial]}", serial=serial)
    announced = [(serial, line) for serial in serials for line in lines if serial in line.serials]
    for serial in [serial for serial, _ in announced] + serials:
        owner = known.by_serial.get(serial)
        if owner and not owner.expected:
            return _owned(owner, serial)
    owned = [serial for serial in serials if serial in known.by_serial]
    if len({serial for serial, _ in announced}) == 1:
        return _announced(announced[0][0], announced[0][1], article, known)
    if len(serials) > 1 and not owned:
        return Judgement("ambiguous", f"it may be {' or '.join(serials)}; choose the one that is printed")
    serial = (owned or serials or [""])[0]
    return _on_a_line(serial, ask, lines, known, article)


def _announced(serial: str, line: Line, article: str, known: Known) -> Judgement:
    if article and article != line.model:
        return Judgement(
            "wrongModel", f"{serial} was announced as {line.title}, and the label says {article}", line=line.number, serial=serial
        )
    if not line.room:
        return Judgement("overQuantity", f"line {line.number} has its {line.quantity} {line.title}", line=line.number, serial=serial)
    owner = known.by_serial.get(serial)
    return Judgement("ok", f"{line.title}, serial {serial}", line=line.number, serial=serial, asset=owner.name if owner else "")


def _on_a_line(serial: str, ask: Ask, lines: tuple[Line, ...], known: Known, article: str) -> Judgement:
    owner = known.by_serial.get(serial)
    model = article or (owner.model if owner else "")
    fitting = [line for line in lines if (not model or line.model == model) and (ask.line is None or line.number == ask.line)]
    if not fitting:
        where = f"line {ask.line} is" if ask.line is not None else "this shipment has"
        return Judgement("wrongModel", f"that is {model or 'not on a line'}; {where} {_told(line.title for line in lines)}", serial=serial)
    if not serial and not ask.tag:
        what = fitting[0].title if article else "no serial number that identifies a thing"
        told = f"that is {what}; now scan its serial number, or one of our labels first if it has none"
        return Judgement("incomplete", told, line=fitting[0].number if article else None)
    with_room = [line for line in fitting if line.room]
    if not with_room:
        full = ", ".join(f"line {line.number} has its {line.quantity} {line.title}" for line in fitting[:3])
        return Judgement("overQuantity", f"{full}; set it aside", line=fitting[0].number, serial=serial)
    if len({line.model for line in with_room}) > 1:
        return _which(serial, ask, with_room)
    return _new(serial, ask, with_room[0], owner)


def _which(serial: str, ask: Ask, lines: list[Line]) -> Judgement:
    """Lines of several models could take it."""
    if serial and not ask.reason and all(line.serials for line in lines):
        told = f"{serial} is not among the serials of this shipment; choose the line and give a reason to accept it"
        return Judgement("notAnnounced", told, serial=serial)
    titles = _told(f"line {line.number} {line.title}" for line in lines)
    return Judgement("ambiguous", f"which is it: {titles}? Scan its article number, or choose", serial=serial)


def _new(serial: str, ask: Ask, line: Line, owner: Owner | None) -> Judgement:
    """A piece that was not announced by serial."""
    if line.serials and not ask.reason:
        count = len(line.serials)
        told = (
            f"{serial} is not among the {count} serials announced for {line.title}"
            if serial
            else f"{line.title} was announced with serials"
        )
        return Judgement("notAnnounced", f"{told}; give a reason to accept it", line=line.number, serial=serial)
    piece = f"serial {serial}" if serial else f"no serial, label {ask.tag}"
    return Judgement("ok", f"{line.title}, {piece}", line=line.number, serial=serial, asset=owner.name if owner else "")


def _told(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
