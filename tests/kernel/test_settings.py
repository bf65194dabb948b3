"""Settings come from the environment; what is wrong is refused with the variable, the value and the remedy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cipo.kernel.settings import PortTaken, Settings, SettingsError, default_home


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_nothing_set_means_loopback_and_the_embedded_database() -> None:
    settings = Settings.from_env({"HOME": "/home/anna"})
    assert (settings.host, settings.port, settings.tls_port) == ("127.0.0.1", 8080, 8443)
    assert settings.loopback
    assert settings.database_url is None
    assert settings.lab is False
    assert settings.url == "http://localhost:8080"


def test_the_home_is_the_systems_for_root_and_the_users_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert default_home({"HOME": "/root"}) == Path("/var/lib/cipo")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert default_home({"HOME": "/home/anna"}) == Path("/home/anna/.local/share/cipo")
    assert default_home({"HOME": "/home/anna", "XDG_DATA_HOME": "/data"}) == Path("/data/cipo")


def test_the_tls_port_follows_the_port() -> None:
    assert Settings.from_env({"CIPO_PORT": "9090"}).tls_port == 9453
    assert Settings.from_env({"CIPO_PORT": "65500"}).tls_port == 65137
    assert Settings.from_env({"CIPO_PORT": "9090", "CIPO_TLS_PORT": "9443"}).tls_port == 9443


def test_every_bad_value_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bad = {
        "CIPO_HOME": str(tmp_path / "file"),
        "CIPO_HOST": "a b",
        "CIPO_PORT": "http",
        "CIPO_TLS_PORT": "70000",
        "CIPO_DATABASE_URL": "mysql://root:secret@db/x",
        "CIPO_CHART": str(tmp_path / "absent"),
        "CIPO_LAB": "maybe",
        "CIPO_WORLD": "../etc",
        "CIPO_LOG_LEVEL": "loud",
    }
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(bad)
    for name in bad:
        assert any(problem.startswith(name) and "; set " in problem for problem in refused.value.problems), name
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("port", ["-1", "1e3", "٣", "99999999999999999999", "80 80"])
def test_a_port_is_a_plain_number(port: str) -> None:
    with pytest.raises(SettingsError, match="is not a port"):
        Settings.from_env({"CIPO_PORT": port})


def test_one_port_cannot_serve_both_listeners() -> None:
    with pytest.raises(SettingsError, match="CIPO_TLS_PORT=9090: is also CIPO_PORT"):
        Settings.from_env({"CIPO_PORT": "9090", "CIPO_TLS_PORT": "9090"})


def test_children_read_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"CIPO_HOME": str(tmp_path), "CIPO_PORT": "9090", "CIPO_TLS_PORT": "9443", "CIPO_LAB": "on", "CIPO_CHART": str(tmp_path)}
    )
    assert Settings.from_env(settings.environ()) == settings


def test_a_taken_port_is_an_error_that_says_what_to_do(taken: int) -> None:
    with pytest.raises(PortTaken, match=rf"CIPO_PORT={taken}: another process already listens .* --port-search"):
        Settings.from_env({"CIPO_PORT": str(taken)}).with_free_ports()


def test_a_search_takes_the_next_free_port_and_tls_follows(taken: int) -> None:
    found = Settings.from_env({"CIPO_PORT": str(taken)}).with_free_ports(search=True)
    assert taken < found.port <= taken + 100
    assert found.tls_port not in (taken, found.port)


def test_a_tls_port_nobody_chose_moves_by_itself_and_a_chosen_one_does_not(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    derived = Settings(home=Path("/x"), port=port, tls_port=taken)
    assert derived.with_free_ports().tls_port > taken
    with pytest.raises(PortTaken, match=f"CIPO_TLS_PORT={taken}"):
        Settings(home=Path("/x"), port=port, tls_port=taken, tls_port_given=True).with_free_ports()


def test_port_zero_is_any_free_port() -> None:
    found = Settings.from_env({"CIPO_PORT": "0"}).with_free_ports()
    assert found.port and found.tls_port and found.port != found.tls_port


def test_beyond_loopback_only_tls_is_offered() -> None:
    settings = Settings.from_env({"CIPO_HOST": "0.0.0.0"})
    assert not settings.loopback
    assert settings.url == settings.tls_url
    assert settings.url.startswith("https://")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"CIPO_HOST=192\.0\.2\.1: .*set an address of this machine"):
        Settings.from_env({"CIPO_HOST": "192.0.2.1"}).with_free_ports()
