"""Accounts from the command line: made, expired, rotated, given certificates and rights, as an operator does it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import trustme

from nodes import NodeAtWork, make_node


@pytest.fixture
def node(tmp_path: Path) -> NodeAtWork:
    return make_node(tmp_path / "node")


def listed(node: NodeAtWork, name: str) -> dict[str, object]:
    return next(row for row in node.rows("account", "list") if row["name"] == name)


def told(node: NodeAtWork, *arguments: str, code: int = 0) -> str:
    done = node.run(*arguments)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_a_certificate_is_given_and_taken(node: NodeAtWork, tmp_path: Path) -> None:
    """By file or by fingerprint, listed with its account, refused to a second one, and taken away again."""
    issued = trustme.CA().issue_cert("siem@example.org")
    pem = tmp_path / "client.pem"
    issued.cert_chain_pems[0].write_to_path(str(pem))
    given = node.row("account", "certificate", "siem", "--pem", str(pem))
    digest = given["certificate"]
    assert given == {"name": "siem", "certificate": digest, "stands": True}
    assert listed(node, "siem")["certificates"] == [digest]
    node.row("account", "add", "isac")
    assert "stands for siem" in told(node, "account", "certificate", "isac", "--fingerprint", digest, code=2)
    assert "no more" in told(node, "account", "certificate", "siem", "--fingerprint", digest, "--remove")
    assert listed(node, "siem")["certificates"] == []
    for wrong in (["--fingerprint", "00"], [], ["--pem", str(pem), "--fingerprint", digest]):
        told(node, "account", "certificate", "siem", *wrong, code=2)
    (tmp_path / "no.pem").write_text("nothing")
    assert "no.pem" in told(node, "account", "certificate", "siem", "--pem", str(tmp_path / "no.pem"), code=2)


def test_keys_overlap_and_accounts_end(node: NodeAtWork) -> None:
    """A rotation keeps the old key for its overlap, and an account's last day stands in the list and in status."""
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    made = node.row("account", "add", "guest", "--read", "siem", "--metrics", "--expires", tomorrow)
    assert listed(node, "guest")["expires"] == f"{tomorrow} 00:00:00Z"
    rotated = node.row("account", "rotate", "guest", "--overlap-hours", "5")
    with node.serving() as url:
        for key in (made["key"], rotated["key"]):
            answer = requests.get(f"{url}/api/", headers={"Authorization": f"Bearer {key}"}, timeout=10)
            assert answer.status_code == 200
            answer = requests.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}, timeout=10)
            assert "threatshare_store_bytes" in answer.text
        told(node, "account", "withdraw", "guest", "--metrics")
        assert requests.get(f"{url}/metrics", auth=("guest", rotated["key"]), timeout=10).status_code == 404
    keys = listed(node, "guest")["keys"]
    assert isinstance(keys, list)
    assert [key["expires"] == "-" for key in keys] == [True, False]
    assert f"account guest ends on {tomorrow}" in node.run("status").stdout
    assert "does not end" in told(node, "account", "expire", "guest", "--never")
    assert "account guest" not in node.run("status").stdout
    told(node, "account", "expire", "guest", code=2)


def test_doctor_on_the_server(node: NodeAtWork, tmp_path: Path) -> None:
    """It names a key that others can read, an address in the clear, and a header that nobody would be believed for."""
    file = node.directory / "node.toml"
    text = file.read_text()
    issued = trustme.CA().issue_cert("taxii.example.org")
    issued.cert_chain_pems[0].write_to_path(str(node.directory / "server.pem"))
    issued.private_key_pem.write_to_path(str(node.directory / "server.key"))
    (node.directory / "server.key").chmod(0o644)
    for settings, named in (
        ('host = "192.0.2.1"', "keys cross the network in the clear"),
        ('certificate_header = "X-Cert"', "trusted_proxies is 0"),
        ('tls_certificate = "server.pem"', "go together"),
        ('tls_certificate = "server.pem"\ntls_key = "server.key"', "others can read"),
    ):
        key = settings.partition(" ")[0]
        kept = re.sub(rf"^{key} = .*$", "", text, flags=re.MULTILINE)
        file.write_text(kept.replace("[serve]", f"[serve]\n{settings}"))
        assert named in node.run("doctor").stdout


def test_the_daemon_passes_sighup_on(node: NodeAtWork) -> None:
    """`systemctl reload` of the whole service has its server read everything anew, and a stop is still clean."""
    log = node.directory / "daemon.log"
    with log.open("w") as target:
        process = subprocess.Popen(
            [sys.executable, "-m", "threatshare", "--node", str(node.directory), "daemon", "--port", "0"],
            stderr=target,
            env=os.environ,
        )
    try:
        url = node.listening(process, log)
        assert requests.get(f"{url}/taxii2/", timeout=10).status_code == 200
        file = node.directory / "node.toml"
        file.write_text(file.read_text().replace("[serve]", "[serve]\nopen_discovery = false"))
        process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while not re.search("^reloaded$", log.read_text(), re.MULTILINE):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        assert requests.get(f"{url}/taxii2/", timeout=10).status_code == 401
    finally:
        process.terminate()
        assert process.wait(60) == 0
