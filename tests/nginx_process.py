"""A real nginx that runs ``config/nginx.conf``, with addresses and files of a test in the place of its examples."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
PAGE = Path(__file__).parent.parent / "config" / "nginx.conf"
_WHOLE = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/unused1;
    uwsgi_temp_path {folder}/unused2;
    scgi_temp_path {folder}/unused3;
    include {folder}/site.conf;
    {more}
}}
"""


def site(upstream: int, port: int, folder: Path, certificate: Path, key: Path, authority: Path) -> str:
    """Gives the shipped file with the test's own addresses and files."""
    text = PAGE.read_text()
    for old, new in (
        ("127.0.0.1:9000", f"127.0.0.1:{upstream}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("    listen [::]:443 ssl;\n", ""),
        ("/etc/ssl/example/fullchain.pem", str(certificate)),
        ("/etc/ssl/example/privkey.pem", str(key)),
        ("/etc/threatshare/example-clients-ca.pem", str(authority)),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def before(upstream: int, folder: Path, certificate: Path, key: Path, authority: Path, more: str = "") -> Iterator[int]:
    """Runs nginx before a server until the end of the block; gives its port. ``more`` goes beside the shipped file."""
    assert NGINX is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "site.conf").write_text(site(upstream, port, folder, certificate, key, authority))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_WHOLE.format(folder=folder, user=user, more=more))
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while True:
            assert time.monotonic() < until
            assert process.poll() is None, process.stderr and process.stderr.read()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()
