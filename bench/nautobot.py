"""Nautobot from PyPI on the shared PostgreSQL, as its own documentation installs it for production: uWSGI, Redis, no debug server.

The first run makes a venv of its own, initialises and migrates (minutes); later runs find all that. Its devices are removed before a run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client
from bench.place import Postgres, answers, directory, free_port, running

VERSION = "3.2.7"
DATABASE = "nautobot"

# One more than two processes a core and three threads each, as Nautobot's documentation recommends.
UWSGI = """[uwsgi]
http = 127.0.0.1:{port}
http-timeout = 600
listen = 128
buffer-size = 8192
processes = {processes}
threads = 3
enable-threads = true
single-interpreter = true
need-app = true
master = true
vacuum = true
die-on-term = true
harakiri = 600
disable-logging = true
log-5xx = true
"""

PREPARE = """
from django.contrib.contenttypes.models import ContentType
from nautobot.dcim.models import Device, DeviceType, Location, LocationType, Manufacturer
from nautobot.extras.models import Role, Status, ObjectChange
from nautobot.users.models import Token, User
Device.objects.all().delete()
ObjectChange.objects.all().delete()
device = ContentType.objects.get_for_model(Device)
status = Status.objects.get(name="Active")
role, _ = Role.objects.get_or_create(name="Server")
role.content_types.add(device)
kind, _ = LocationType.objects.get_or_create(name="Site")
kind.content_types.add(device)
location, _ = Location.objects.get_or_create(name="S1", location_type=kind, defaults=dict(status=status))
maker, _ = Manufacturer.objects.get_or_create(name="Dell")
model, _ = DeviceType.objects.get_or_create(manufacturer=maker, model="R650", defaults=dict(u_height=1))
token, _ = Token.objects.get_or_create(user=User.objects.get(username="admin"))
print("IDS", token.key, status.pk, role.pk, location.pk, model.pk)
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A running Nautobot: where it is and what a device needs."""

    client: Client
    status: str
    role: str
    location: str
    device_type: str
    pids: tuple[int, ...]

    def device(self, name: str, serial: str) -> dict[str, str]:
        return {
            "name": name,
            "serial": serial,
            "device_type": self.device_type,
            "role": self.role,
            "status": self.status,
            "location": self.location,
        }


class Installation:
    """The venv, its configuration and its database."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.root = directory() / "nautobot"
        self.venv = self.root / f"venv-{VERSION}"
        self.config = self.root / "nautobot_config.py"
        self.log = self.root / "setup.log"
        self.redis_port = free_port()
        self.root.mkdir(exist_ok=True)

    @property
    def server(self) -> str:
        return str(self.venv / "bin" / "nautobot-server")

    @property
    def env(self) -> dict[str, str]:
        return {
            "NAUTOBOT_ROOT": str(self.root),
            "NAUTOBOT_CONFIG": str(self.config),
            "NAUTOBOT_DB_ENGINE": "django.db.backends.postgresql",
            "NAUTOBOT_DB_HOST": str(self.postgres.socket_directory),
            "NAUTOBOT_DB_PORT": str(self.postgres.port),
            "NAUTOBOT_DB_USER": "postgres",
            "NAUTOBOT_DB_PASSWORD": self.postgres.password,
            "NAUTOBOT_DB_NAME": DATABASE,
            "NAUTOBOT_REDIS_HOST": "127.0.0.1",
            "NAUTOBOT_REDIS_PORT": str(self.redis_port),
            "NAUTOBOT_ALLOWED_HOSTS": "127.0.0.1",
            "NAUTOBOT_INSTALLATION_METRICS_ENABLED": "False",
            "PATH": f"{self.venv / 'bin'}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        }

    def run(self, *arguments: str) -> str:
        """Run ``nautobot-server …`` to its end."""
        done = subprocess.run([self.server, *arguments], env={**os.environ, **self.env}, capture_output=True, text=True, check=False)
        with self.log.open("a") as log:
            log.write(f"$ nautobot-server {arguments[0]}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            raise RuntimeError(f"nautobot-server {arguments[0]} failed; see {self.log}")
        return done.stdout

    def install(self) -> None:
        """The venv, once."""
        if (self.venv / "installed").exists():
            return
        shutil.rmtree(self.venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(self.venv)], check=True)
        pip = [str(self.venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", f"nautobot=={VERSION}"]
        subprocess.run(pip, check=True)
        (self.venv / "installed").touch()

    def migrate(self) -> None:
        """The configuration and the database, once; takes minutes."""
        if not self.config.exists():
            self.run("init", "--disable-installation-metrics", str(self.config))
        done = self.root / f"migrated-{VERSION}"
        if done.exists() and self.postgres.exists(DATABASE):
            return
        self.postgres.drop(DATABASE)
        self.postgres.create(DATABASE)
        self.run("migrate")
        self.env_superuser()
        done.touch()

    def env_superuser(self) -> None:
        os.environ["DJANGO_SUPERUSER_PASSWORD"] = secrets.token_urlsafe(16)
        try:
            self.run("createsuperuser", "--noinput", "--username", "admin", "--email", "admin@example.com")
        finally:
            del os.environ["DJANGO_SUPERUSER_PASSWORD"]


@contextmanager
def redis(installation: Installation) -> Iterator[None]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("Nautobot needs Redis: apt-get install redis-server")
    port = installation.redis_port
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(installation.root)]
    with running(command, log=installation.root / "redis.log", ready=answers(port)):
        yield


@contextmanager
def up(postgres: Postgres) -> Iterator[Peer]:
    """A Nautobot without devices, answering."""
    installation = Installation(postgres)
    installation.install()
    with redis(installation):
        installation.migrate()
        said = installation.run("nbshell", "--command", PREPARE)
        line = next(line for line in said.splitlines() if line.startswith("IDS "))
        _, token, status, role, location, model = line.split()
        port = free_port()
        ini = installation.root / "uwsgi.ini"
        ini.write_text(UWSGI.format(port=port, processes=1 + 2 * (os.cpu_count() or 1)))
        client = Client(port, {"Authorization": f"Token {token}", "Accept": "application/json"})

        def ready() -> bool:
            return answers(port)() and client.status("GET", "/api/dcim/devices/?limit=1") == 200

        command = [installation.server, "start", "--ini", str(ini)]
        with running(command, log=installation.root / "uwsgi.log", env=installation.env, ready=ready, within_s=180) as process:
            yield Peer(client, status, role, location, model, (process.pid,))


def prepare() -> None:
    """Install and migrate only: ``python -m bench nautobot``."""
    installation = Installation(Postgres())
    installation.install()
    with redis(installation):
        installation.migrate()
    print(f"Nautobot {VERSION} is ready in {installation.root}")


def path() -> Path:
    return directory() / "nautobot"
