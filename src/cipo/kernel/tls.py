"""The local certificate authority and the server certificate of the TLS listener; ``serve`` makes them, ``cipo kubeconfig`` embeds the CA.

kubectl sends credentials over TLS only, so even a laptop needs a certificate. The authority lives ten years and signs nothing but this
server's certificate, which is renewed by itself a month before its year is over, or when the machine's names change. An operator with
certificates of their own puts them in front of cipo.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cipo.kernel.store.place import write_private

CA_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
SKEW = timedelta(days=1)  # for clients whose clock is behind
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for the TLS listener; the key is readable by their owner only."""

    ca: Path
    certificate: Path
    key: Path


def ensure(directory: Path, names: Iterable[str] = (), *, now: datetime | None = None) -> Certificates:
    """Make or renew what is missing, unreadable, about to expire or lacks one of ``names``; several processes may call at once."""
    moment = now or datetime.now(UTC)
    wanted = _alternative_names({*LOCAL_NAMES, socket.gethostname(), *names})
    files = Certificates(ca=directory / "ca.pem", certificate=directory / "server.pem", key=directory / "server-key.pem")
    ca_key_file = directory / "ca-key.pem"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        authority, authority_key = _load(files.ca, ca_key_file)
        if authority is None or authority_key is None or not _lives(authority, moment):
            authority_key = ec.generate_private_key(ec.SECP256R1())
            authority = _self_signed(authority_key, moment)
            _store(ca_key_file, files.ca, authority_key, [authority])
        certificate, key = _load(files.certificate, files.key)
        if certificate is None or key is None or not _lives(certificate, moment) or not _fits(certificate, authority, wanted):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _signed(key, authority, authority_key, wanted, moment)
            _store(files.key, files.certificate, key, [certificate, authority])
    return files


def ca_pem(directory: Path, names: Iterable[str] = ()) -> str:
    """The authority's certificate, for a kubeconfig or a trust store."""
    return ensure(directory, names).ca.read_text()


def _alternative_names(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in sorted(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _load(certificate_file: Path, key_file: Path) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    """The pair on disk, or nothing when it is missing, broken or does not belong together."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError):
        return None, None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None, None
    return certificate, key


def _lives(certificate: x509.Certificate, moment: datetime) -> bool:
    return certificate.not_valid_before_utc <= moment < certificate.not_valid_after_utc - RENEW_BEFORE


def _fits(certificate: x509.Certificate, authority: x509.Certificate, wanted: list[x509.GeneralName]) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(wanted) <= set(names)


def _self_signed(key: ec.EllipticCurvePrivateKey, moment: datetime) -> x509.Certificate:
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"cipo local authority {serial % 0xFFFFFF:06x}")])
    usage = _usage(signs_certificates=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=serial)
        .not_valid_before(moment - SKEW)
        .not_valid_after(moment + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _signed(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    moment: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cipo")])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateBuilder(
            issuer_name=authority.subject, subject_name=subject, public_key=key.public_key(), serial_number=x509.random_serial_number()
        )
        .not_valid_before(moment - SKEW)
        .not_valid_after(min(moment + SERVER_LIFE, authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _store(key_file: Path, certificate_file: Path, key: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate]) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key_file, pem.decode())
    write_private(certificate_file, "".join(item.public_bytes(serialization.Encoding.PEM).decode() for item in chain))


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
