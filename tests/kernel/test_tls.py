"""The TLS listener's certificates: made once, renewed in time, trusted by a strict client."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from cipo.kernel import tls

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_second_call_keeps_what_is_there(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path / "tls")
    before = [path.read_bytes() for path in (files.ca, files.certificate, files.key)]
    assert tls.ensure(tmp_path / "tls") == files
    assert [path.read_bytes() for path in (files.ca, files.certificate, files.key)] == before
    assert tls.ca_pem(tmp_path / "tls") == files.ca.read_text()


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path / "tls")
    assert stat.S_IMODE(files.ca.parent.stat().st_mode) == 0o700
    for path in files.ca.parent.glob("*-key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_a_client_that_trusts_the_authority_accepts_the_server(tmp_path: Path, name: str) -> None:
    files = tls.ensure(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(files.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()
    thread = threading.Thread(target=lambda: server.wrap_socket(far, server_side=True).recv(1), daemon=True)
    thread.start()
    with client.wrap_socket(near, server_hostname=name) as connection:
        assert connection.version() == "TLSv1.3"
        connection.send(b"x")
    thread.join(10)


def test_the_server_certificate_is_renewed_a_month_before_its_end_and_the_authority_stays(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, now=NOW)
    first, authority = certificate(files.certificate), files.ca.read_bytes()
    tls.ensure(tmp_path, now=NOW + timedelta(days=334))
    assert certificate(files.certificate) == first
    tls.ensure(tmp_path, now=NOW + timedelta(days=336))
    assert certificate(files.certificate).not_valid_after_utc > first.not_valid_after_utc
    assert files.ca.read_bytes() == authority


def test_an_authority_at_its_end_takes_the_server_certificate_with_it(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path, now=NOW)
    later = NOW + tls.CA_LIFE - timedelta(days=10)
    authority = files.ca.read_bytes()
    tls.ensure(tmp_path, now=later)
    assert files.ca.read_bytes() != authority
    certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))


def test_a_new_name_of_the_machine_gets_a_new_certificate(tmp_path: Path) -> None:
    files = tls.ensure(tmp_path)
    tls.ensure(tmp_path, ["plane.example", "10.0.0.7"])
    names = certificate(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "plane.example" in names.get_values_for_type(x509.DNSName)
    assert "10.0.0.7" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]


@pytest.mark.parametrize("broken", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem"])
def test_a_broken_file_is_made_again(tmp_path: Path, broken: str) -> None:
    files = tls.ensure(tmp_path)
    (tmp_path / broken).write_text("-----BEGIN NOTHING-----")
    tls.ensure(tmp_path)
    certificate(files.certificate).verify_directly_issued_by(certificate(files.ca))
