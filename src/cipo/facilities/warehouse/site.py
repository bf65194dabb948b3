"""Site: a building with rooms in which racks and warehouses stand. Everything else of 1A names one."""

from __future__ import annotations

from collections.abc import Iterable

from cipo.facilities.warehouse.cmdb import unit
from cipo.kernel import Claim, Column, Kind, Model, Status, field


class Room(Model):
    """A room, cage or hall of a site."""

    name: str = field(length=64, help="As on the door, e.g. Hall 2.")
    floor: str = field("", length=32, help="Storey.")
    help: str = field("", length=500, help="What a visitor must know.")


class SiteSpec(Model):
    """Where it is and how to find it."""

    title: str = field("", length=120, help="Name for people, e.g. Frankfurt 1.")
    code: str = field(length=16, pattern=r"^[A-Z0-9-]{2,16}$", help="Short code on labels, e.g. FRA1; held by one site.")
    address: str = field("", length=500, help="Where a carrier delivers.")
    country: str = field("", pattern=r"^([A-Z]{2})?$", help="ISO 3166 alpha-2.")
    time_zone: str = field("Etc/UTC", length=64, help="IANA time zone, for delivery windows.")
    latitude: float | None = field(None, min=-90, max=90, help="Degrees north, WGS 84.")
    longitude: float | None = field(None, min=-180, max=180, help="Degrees east, WGS 84.")
    rooms: list[Room] = field(list, key="name", each=200, help="Rooms with racks.")


class SiteStatus(Status):
    """Nothing of a site is observed yet; its racks are listed by ``kubectl get racks --field-selector spec.site=…``."""


@unit.kind(
    short="site",
    plural="sites",
    columns=[
        Column("Code", "spec.code"),
        Column("Title", "spec.title"),
        Column("Country", "spec.country"),
        Column("Address", "spec.address", wide=True),
    ],
    select=["spec.code", "spec.country"],
)
class Site(Kind[SiteSpec, SiteStatus]):
    """A building in which racks and warehouses stand."""

    def claims(self) -> Iterable[Claim]:
        """A code is one site's."""
        yield Claim("site/code", self.spec.code, path="spec.code")

    def validate_change(self, old: Site | None, ctx: object) -> Iterable[tuple[str, str]]:
        """Room names are used in addresses of racks, so each once."""
        names = [room.name for room in self.spec.rooms]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield f"spec.rooms[{index}].name", f'"{name}" is there twice; give each room its own name'
