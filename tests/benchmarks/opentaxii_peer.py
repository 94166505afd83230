"""Fills an OpenTAXII 0.10 server; run by its own interpreter, which has nothing of ours but ``generated``.

    python opentaxii_peer.py DIRECTORY COUNT SEED

Writes its configuration and database there, and prints as JSON the collection's path and a token. Rows are written as
OpenTAXII's own ``add_objects`` would, but in one go: through its HTTP interface they take an hour a million.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

_CONFIGURATION = """
domain: "localhost"
support_basic_auth: yes
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "sqlite:///{folder}/auth.db", create_tables: yes, secret: bench, token_ttl_secs: 99999}}
taxii1:
taxii2:
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "sqlite:///{folder}/data.db", create_tables: yes}}
  title: Bench
  public_discovery: true
  max_content_length: 209715200
logging: {{opentaxii: error, root: error}}
"""
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def main(folder: Path, count: int, seed: int) -> None:
    """Makes the server."""
    configuration = folder / "opentaxii.yml"
    configuration.write_text(_CONFIGURATION.format(folder=folder))
    os.environ["OPENTAXII_CONFIG"] = str(configuration)
    from opentaxii.cli import app

    with app.app_context():
        server = app.taxii_server
        server.auth.api.create_account(username="soc", password="bench", is_admin=True)
        token = server.auth.authenticate(username="soc", password="bench")
        api = server.servers.taxii2.persistence.api
        root = api.add_api_root("Bench", "", default=True, is_public=False)
        collection = api.add_collection(root.id, "Bench", "", "bench", False, False)
    _fill(folder / "data.db", collection.id, count, seed)
    token = token.decode() if isinstance(token, bytes) else token
    print(json.dumps({"path": f"/taxii2/{root.id}/collections/{collection.id}/", "token": token}))


def _fill(file: Path, collection: UUID, count: int, seed: int) -> None:
    from generated import CREATED, pages

    conn = sqlite3.connect(file)
    conn.execute("PRAGMA synchronous = OFF")
    columns = [row[1] for row in conn.execute("PRAGMA table_info(opentaxii_stixobject)")]
    version = datetime.fromisoformat(CREATED.replace("Z", "+00:00")).strftime("%Y-%m-%d %H:%M:%S.%f")
    rank = 0
    for objects in pages(count, min(count, 10_000), seed):
        rows = []
        for raw in objects:
            thing = json.loads(raw)
            data = {key: value for key, value in thing.items() if key not in ("id", "type", "spec_version")}
            row = {
                "pk": uuid4().hex,
                "id": thing["id"],
                "collection_id": collection.hex,
                "type": thing["type"],
                "spec_version": thing["spec_version"],
                "date_added": (BEGAN + timedelta(milliseconds=rank)).strftime("%Y-%m-%d %H:%M:%S.%f"),
                "version": version,
                "serialized_data": json.dumps(data),
            }
            rows.append([row[column] for column in columns])
            rank += 1
        conn.executemany(f"INSERT INTO opentaxii_stixobject VALUES ({','.join('?' * len(columns))})", rows)
        conn.commit()
    conn.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
