"""The webhook for findings: who may use it, what it takes and refuses, and that nobody else learns of it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from builders import NOW, make_own, make_store
from taxii_node import TAXII, Answer, TaxiiNode
from threatshare.arrivals import Intake, take_posted
from threatshare.errors import UsageError
from threatshare.share.app import TaxiiApp, create_app
from threatshare.share.connections import Connections
from threatshare.share.settings import ServeSettings
from threatshare.store import accounts
from threatshare.store.connection import open_reader, open_writer, transaction
from threatshare.store.quotas import Amount, posted_today, set_quota

COUNTS = {"findings": 1, "indicators": {"new": 1, "updated": 0, "unchanged": 0}}
LIMIT = 2_000


@dataclass
class Taking:
    """Keeps what was pushed, and answers as told."""

    taken: list[tuple[bytes, str | None, str]] = field(default_factory=list)
    unreadable: str | None = None
    counts: Mapping[str, object] = field(default_factory=lambda: COUNTS)

    def __call__(self, body: bytes, format: str | None, account: str) -> tuple[Mapping[str, object], str | None]:
        """Takes a body."""
        if format == "nonsense":
            raise UsageError("there is no reader named 'nonsense'")
        self.taken.append((body, format, account))
        return self.counts, self.unreadable


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TaxiiNode]:
    with TaxiiNode(tmp_path) as made:
        made.collection("all")
        made.account("reader", ["all"], ["all"])
        with transaction(made.writer):
            made.keys["edr"] = accounts.add_account(made.writer, "edr", [], [], made.now, findings=True)
        yield made


@pytest.fixture
def taking() -> Taking:
    return Taking()


@pytest.fixture
def app(node: TaxiiNode, taking: Taking) -> Iterator[TaxiiApp]:
    opened = Connections(partial(open_reader, node.file), partial(open_writer, node.file))
    settings = ServeSettings(max_content_length=LIMIT)
    made = create_app(opened, settings, node.inbox, lambda _raw, _received: None, node.clock, taking)
    yield made
    made.close()


def push(
    node: TaxiiNode,
    app: TaxiiApp,
    body: bytes = b"{}",
    account: str | None = "edr",
    path: str = "/findings",
    method: str = "POST",
    **headers: str,
) -> Answer:
    """Sends a request to the webhook, as a tool that knows nothing of TAXII."""
    sent = {"Accept": "*/*", "Content-Type": "application/json", **headers}
    return node.request(method, path, account, None, body, app, **sent)


@pytest.mark.parametrize("path", ["/findings", "/findings/"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "-"])
@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", "-"])
def test_any_type_of_content_is_taken(
    node: TaxiiNode, app: TaxiiApp, taking: Taking, path: str, kind: str, accept: str
) -> None:
    """What a tool says of its body or wants as an answer does not matter: the answer is JSON."""
    answer = push(node, app, b'{"a": 1}', path=path, Content_Type=kind, Accept=accept)
    assert (answer.status, answer.headers["Content-Type"], answer.json) == (200, "application/json", COUNTS)
    assert taking.taken == [(b'{"a": 1}', None, "edr")]


def test_the_format_may_be_named(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """``?format=`` names the reader; one that is not there is a mistake of the sender."""
    answer = push(node, app, path="/findings?format=csv")
    assert (answer.status, taking.taken[0][1]) == (200, "csv")
    answer = push(node, app, path="/findings?format=nonsense")
    assert answer.status == 400
    assert "'nonsense'" in answer.json["description"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_without_the_right_there_is_nothing(node: TaxiiNode, app: TaxiiApp, taking: Taking, method: str) -> None:
    """An account without the right gets the very answer that it gets for an address where nothing is."""
    here, nowhere = (push(node, app, account="reader", path=path, method=method) for path in ("/findings", "/nothing"))
    said = nowhere.body.replace(b"nothing", b"findings")
    assert (here.status, here.body) == (nowhere.status, said)
    assert here.headers | {"Content-Length": str(len(said))} == nowhere.headers | {"Content-Length": str(len(said))}
    assert here.status in (404, 405)
    assert taking.taken == []


def test_without_an_account_nothing_is_taken(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """No credentials, wrong ones and a revoked account are 401, and wrong ones are counted until it is 429."""
    assert push(node, app, account=None).status == 401
    with transaction(node.writer):
        accounts.revoke_account(node.writer, "edr", node.now)
    answers = [push(node, app).status for _ in range(30)]
    assert set(answers) == {401, 429}
    assert answers[-1] == 429
    assert taking.taken == []


def test_the_right_is_given_and_taken_at_once(node: TaxiiNode, app: TaxiiApp) -> None:
    """Granting it opens the webhook on every worker with the next request, withdrawing it closes it."""
    for change, status in ((accounts.grant, 200), (accounts.withdraw, 404)):
        with transaction(node.writer):
            change(node.writer, "reader", findings=True)
        assert push(node, app, account="reader", method="POST").status == status


def test_the_right_to_push_is_no_right_on_collections(node: TaxiiNode, app: TaxiiApp) -> None:
    """Who may push findings reads nothing by it."""
    assert node.get("/api/collections/", "edr").json == {}
    assert node.get("/api/collections/all/objects/", "edr").status == 404


def test_only_post_does_anything(node: TaxiiNode, app: TaxiiApp) -> None:
    """Other methods are refused, with the one that works."""
    answer = push(node, app, method="GET")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_a_body_is_refused_by_its_size(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """The limit is serve.max_content_length, to the byte."""
    assert push(node, app, b"x" * LIMIT).status == 200
    assert push(node, app, b"x" * (LIMIT + 1)).status == 413
    assert [len(body) for body, _, _ in taking.taken] == [LIMIT]


def zipped(data: bytes) -> bytes:
    """Two members of the same content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, zipped])
def test_a_body_is_refused_by_what_it_inflates_to(
    node: TaxiiNode, app: TaxiiApp, taking: Taking, pack: Callable[[bytes], bytes]
) -> None:
    """A small body that holds more than a plain one may is 413, says so, and no reader sees it."""
    bomb = pack(b"ip,45.66.77.88\n" * LIMIT)
    assert len(bomb) < LIMIT
    answer = push(node, app, bomb)
    assert answer.status == 413
    assert f"inflates to more than {LIMIT} bytes" in answer.json["description"]
    assert taking.taken == []
    small = pack(b"ip,45.66.77.88\n" * (LIMIT // 30))
    assert push(node, app, small).status == 200
    assert [body for body, _, _ in taking.taken] == [small]


def test_a_long_name_of_a_format_is_not_repeated(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """What is no name of a format at all is refused without being shown."""
    answer = push(node, app, path="/findings?format=" + "anna" * 20)
    assert answer.status == 400
    assert "anna" not in answer.json["description"]
    assert taking.taken == []


@pytest.mark.parametrize("headers", [{"Content_Encoding": "gzip"}, {"Content_Type": "multipart/form-data; boundary=x"}])
def test_what_would_be_misread_is_refused(
    node: TaxiiNode, app: TaxiiApp, taking: Taking, headers: dict[str, Any]
) -> None:
    """A coded body and a form are 415, and the answer says how to send it."""
    answer = push(node, app, **headers)
    assert answer.status == 415
    assert answer.headers["Content-Type"] == TAXII
    assert "body" in answer.json["description"]
    assert push(node, app, Content_Encoding="identity").status == 200
    assert len(taking.taken) == 1


def test_what_cannot_be_read_at_all_is_told(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """422, with the reason of the first refusal."""
    taking.unreadable = "not readable: no time"
    answer = push(node, app)
    assert (answer.status, answer.json["http_status"]) == (422, "422")
    assert "no time" in answer.json["description"]


def test_without_a_taker_there_is_no_webhook(node: TaxiiNode) -> None:
    """An application that is given nothing to take findings with has no such address."""
    assert push(node, node.app).status == push(node, node.app, path="/nothing").status == 404


# --- what is taken -----------------------------------------------------------------------------------


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    store = make_store(tmp_path)
    yield Intake(store, make_own, lambda: NOW)
    store.close()


def seen(intake: Intake) -> Any:
    return intake.store.conn.execute("SELECT coalesce(sum(count), 0) FROM observation").fetchone()[0]


TABLE = b"type,value\nip,45.66.77.88\nip,45.66.77.89\nip,nonsense\n"


def test_the_same_body_again_changes_nothing(intake: Intake) -> None:
    """A tool that had no answer sends again: it gets the same answer, and nothing is counted twice."""
    first = take_posted(intake, TABLE, None, "edr")
    assert first[0]["findings"] == 2
    assert first[0]["indicators"] == {"new": 2, "updated": 0, "unchanged": 0}
    assert (first[0]["rejected"], first[1]) == (1, None)
    assert take_posted(intake, TABLE, None, "edr") == first
    assert seen(intake) == 2
    other = take_posted(intake, TABLE, None, "another")[0]
    assert other["indicators"] == {"new": 0, "updated": 0, "unchanged": 2}
    assert seen(intake) == 4


def test_a_kill_before_the_answer_was_kept_counts_nothing_twice(intake: Intake) -> None:
    """What was taken is known from the transaction that took it, with an answer or without."""
    take_posted(intake, TABLE, None, "edr")
    intake.store.conn.execute("UPDATE posted SET answer = x''")
    answer, unreadable = take_posted(intake, TABLE, None, "edr")
    assert (answer["findings"], answer["rejected"], unreadable) == (2, 1, None)
    assert seen(intake) == 2


def test_an_unreadable_body_says_why(intake: Intake) -> None:
    """Nothing but rejects: the first reason; what merely holds no finding is read well."""
    answer, unreadable = take_posted(intake, b"\x00\x01\x02", None, "edr")
    assert answer["rejected"] == 1
    assert unreadable == "no reader recognises its format; name one with ?format="
    quiet = json.dumps({"event_type": "flow", "timestamp": "2026-11-01T10:00:00+0000"}).encode()
    assert take_posted(intake, quiet, None, "edr")[1] is None
    with pytest.raises(UsageError):
        take_posted(intake, quiet, "nonsense", "edr")


@pytest.mark.parametrize(
    ("body", "format", "kind", "line"),
    [
        (b"type,value\nip,anna.lee\n", None, "an address, name, URL or hash that cannot be read", " (line 2)"),
        (b"type,value\nanna.lee,45.66.77.88\n", None, "a type that is not shared", " (line 2)"),
        (b'{"event_type": "alert", "timestamp": "anna.lee"}\n', "suricata-eve", "a record", " (line 1)"),
        (b'{"event_type": "alert", "anna.lee": \n', "suricata-eve", "does not end", " (line 1)"),
        (b"\x1f\x8b\x08anna.lee", None, "gzip data is corrupt", ""),
    ],
)
def test_an_answer_repeats_nothing_of_the_body(
    intake: Intake, body: bytes, format: str | None, kind: str, line: str
) -> None:
    """Why a body was not read is told by the kind of fault and the line; the reason with its value is kept here."""
    _, unreadable = take_posted(intake, body, format, "edr")
    assert unreadable is not None
    assert kind in unreadable
    assert unreadable.endswith(line)
    assert "anna" not in unreadable


def test_what_is_pushed_counts_towards_the_quota_of_the_day(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """Bytes and findings of a body count, those rejected too; beyond the quota it is 429 with the time to wait and
    nothing is taken, and what no day would hold is 413."""
    with transaction(node.writer):
        set_quota(node.writer, "edr", 5, 1_000)
    taking.counts = COUNTS | {"findings": 2, "rejected": 1}
    assert push(node, app, b"x" * 100).status == 200
    assert posted_today(node.writer, "edr", node.now) == Amount(3, 100)
    assert push(node, app, b"x" * 1_001).status == 413
    refused = push(node, app, b"x" * 901)
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 24 * 3_600
    assert push(node, app).status == 200, "how many it holds is known once it is read"
    assert posted_today(node.writer, "edr", node.now) == Amount(6, 102)
    assert push(node, app).status == 429
    assert [len(body) for body, *_ in taking.taken] == [100, 2]


def test_what_nobody_could_read_counts_as_well(node: TaxiiNode, app: TaxiiApp, taking: Taking) -> None:
    """A body counts as one object at least, whatever came of it."""
    taking.unreadable = "its format is not recognised"
    assert push(node, app, b"x" * 100).status == 422
    assert push(node, app, path="/findings?format=nonsense").status == 400
    assert posted_today(node.writer, "edr", node.now) == Amount(2, 102)
