from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Thread

from threatshare.model import CollectionKind
from threatshare.share.connections import Connections
from threatshare.share.readlog import ReadLog
from threatshare.store.collections import add_collection
from threatshare.store.connection import open_reader, open_writer
from threatshare.store.reads import reads_of


def test_nothing_is_lost_when_the_process_ends(tmp_path: Path) -> None:
    """Reads noted by several threads are all recorded once the log is closed, while the store was locked too."""
    file = tmp_path / "store.db"
    writer = open_writer(file)
    collection = add_collection(writer, "one", "One", CollectionKind.INTERNAL, None, 1)

    def unpatient() -> object:
        conn = open_writer(file)
        conn.execute("PRAGMA busy_timeout = 10")
        return conn

    log = ReadLog(Connections(partial(open_reader, file), unpatient))  # type: ignore[arg-type]

    def note(account: str) -> None:
        for seq in range(0, 600, 2):
            log.note(account, collection, ((seq, seq),), seq)

    threads = [Thread(target=note, args=(f"account{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    writer.execute("BEGIN IMMEDIATE")
    log.flush()
    writer.execute("ROLLBACK")
    for thread in threads:
        thread.join()
    log.close()
    for seq in (0, 300, 598):
        assert [one.account for one in reads_of(writer, collection.number, seq)] == [
            f"account{number}" for number in range(4)
        ]
    assert reads_of(writer, collection.number, 1) == []
    assert writer.execute("SELECT sum(requests) FROM taxii_read").fetchone() == (1_200,)
    writer.close()
