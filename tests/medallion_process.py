"""medallion, the reference TAXII server, with its memory backend. Run as a script it is a process of its own."""

from __future__ import annotations

import sys
import threading


def serve(file: str) -> None:
    """Serves what a file of medallion's holds to the user ``us`` with the key ``key``; prints the port.

    Ends with whoever started it.
    """
    from medallion import application_instance, register_blueprints, set_config
    from werkzeug.serving import make_server

    backend = {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": file}
    configuration = {"backend": backend, "users": {"us": "key"}, "taxii": {"max_page_size": 100}}
    for name in configuration:
        set_config(application_instance, name, configuration)
    register_blueprints(application_instance)
    server = make_server("127.0.0.1", 0, application_instance, threaded=True)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(*sys.argv[1:])
