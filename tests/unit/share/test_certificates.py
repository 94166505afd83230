from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from threatshare.errors import BadValue, ConfigurationError
from threatshare.model import micros
from threatshare.share.certificates import (
    check_pair,
    findings,
    pem_fingerprint,
    presented,
    read_fingerprint,
    validity,
)

BEGINS = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDS = datetime(2051, 6, 7, 8, 9, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def issue(folder: Path, name: str = "server", ends: datetime = ENDS) -> tuple[Path, Path]:
    issued = trustme.CA().issue_cert("taxii.example.org", not_before=BEGINS, not_after=ends)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    key.chmod(0o600)
    return certificate, key


def test_when_a_certificate_holds(tmp_path: Path) -> None:
    """Both moments are read exactly, in both notations (before and from 2050), as openssl says them."""
    certificate, _ = issue(tmp_path)
    held = validity(certificate)
    assert (held.begins, held.ends) == (micros(BEGINS), micros(ENDS))
    said = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert ssl.cert_time_to_seconds(said.removeprefix("notAfter=")) == ENDS.timestamp()
    assert held.holds_at(micros(BEGINS))
    assert not held.holds_at(micros(BEGINS) - 1)
    assert not held.holds_at(micros(ENDS) + 1)


def test_a_fingerprint_as_openssl_prints_it(tmp_path: Path) -> None:
    """What openssl prints is what the node knows a certificate by, of the first certificate of a chain."""
    certificate, _ = issue(tmp_path)
    said = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert read_fingerprint(said.partition("=")[2]) == pem_fingerprint(certificate.read_text())


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 65, "0" * 40])
def test_what_is_no_fingerprint(text: str) -> None:
    """Anything but 64 hexadecimal digits is refused, a SHA-1 too."""
    with pytest.raises(BadValue, match="64 hexadecimal"):
        read_fingerprint(text)


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: f":{raw.hex()}:"))
def test_any_header_is_read_or_not(text: str) -> None:
    """Whatever stands in the header: a fingerprint or None, never an error."""
    found = presented(text)
    assert found is None or len(found) == 32


@given(st.binary(max_size=400))
def test_any_bytes_are_a_certificate_or_not(raw: bytes) -> None:
    """A PEM block of any bytes has dates, or is a ConfigurationError; never anything else."""
    import tempfile
    from base64 import b64encode

    text = "-----BEGIN CERTIFICATE-----\n" + b64encode(raw).decode() + "\n-----END CERTIFICATE-----\n"
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(text)
        file.flush()
        try:
            validity(Path(file.name))
        except ConfigurationError as problem:
            assert file.name in str(problem)  # noqa: PT017  any outcome but these two is a failure


def test_forms_that_proxies_use(tmp_path: Path) -> None:
    """nginx's, RFC 9440's and HAProxy's form of one certificate give one fingerprint."""
    pem = issue(tmp_path)[0].read_text()
    der = ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END") + 25])
    digest = sha256(der).digest()
    base64 = "".join(pem[: pem.index("-----END")].splitlines()[1:])
    assert [presented(one) for one in (quote(pem), f":{base64}:", digest.hex())] == [digest] * 3


def test_what_cannot_be_served_with(tmp_path: Path) -> None:
    """A missing file, another's key, an encrypted key and an unreadable authority are each named."""
    certificate, key = issue(tmp_path)
    check_pair(certificate, key)
    _, other = issue(tmp_path, "other")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(locked)], check=True
    )
    empty = tmp_path / "empty.pem"
    empty.touch()
    for files, named in (
        ((certificate, tmp_path / "absent"), "absent is missing"),
        ((certificate, other), "other.key do not serve"),
        ((certificate, locked), "locked.key do not serve"),
        ((empty, key), "empty.pem"),
        ((certificate, key, empty), "empty.pem: no authority"),
    ):
        with pytest.raises(ConfigurationError, match=named):
            check_pair(*files)


def test_what_is_to_be_mended(tmp_path: Path) -> None:
    """Not yet valid, soon to expire, expired, and a key that others can read; a healthy pair is nothing to tell."""
    certificate, key = issue(tmp_path, ends=BEGINS + 90 * DAY)
    for at, told in (
        (BEGINS - DAY, "is not valid before 2026-01-02"),
        (BEGINS + 30 * DAY, None),
        (BEGINS + 70 * DAY, "expires on 2026-04-02, in 20 days"),
        (BEGINS + 91 * DAY, "has expired on 2026-04-02"),
    ):
        found = findings(certificate, key, micros(at))
        assert (told is None and not found) or (told is not None and len(found) == 1 and told in found[0])
    key.chmod(0o640)
    assert findings(certificate, key, micros(BEGINS + DAY)) == [f"others can read {key}: chmod 600 it"]
