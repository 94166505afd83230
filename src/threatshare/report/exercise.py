"""What an exercise showed: how long from inject to detection, to sharing, to each partner's receipt and feedback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from threatshare.model import Micros, moment

_SECOND: Micros = 1_000_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a partner was sent an inject's indicator."""

    partner: str
    account: str
    after: Micros
    """Not sent before that."""
    by: Micros
    """Sent by then; what is sent is recorded by the hour of first sending, so the two may lie so far apart."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a partner posted about an inject, or into the exercise at large."""

    partner: str
    at: Micros
    type: str
    object_id: str
    said: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One inject with all that came of it."""

    number: int
    kind: str
    value: str
    techniques: tuple[str, ...]
    at: Micros
    detected: Micros | None
    sensor: str | None
    seen: Micros | None
    """When that sensor says it saw it; it may have told us later."""
    shared: Micros | None
    receipts: tuple[Receipt, ...] = ()
    feedback: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """That a partner, or accounts that belong to none, lost the exercise while it ran."""

    partner: str
    """Empty: accounts of no partner of the exercise."""
    accounts: tuple[str, ...]
    """Whose rights were taken."""
    at: Micros
    reason: str
    back: Micros | None
    """When somebody invited it again; None: nobody did."""
    back_by: str | None


@dataclass(frozen=True, slots=True)
class ExerciseReport:
    """A whole exercise at one moment."""

    name: str
    tlp: str
    until: str
    started: Micros
    started_by: str
    ended: Micros | None
    ended_by: str | None
    reason: str | None
    purged: int | None
    partners: tuple[str, ...]
    as_of: Micros
    injects: tuple[Measured, ...]
    other: tuple[Said, ...]
    """What partners posted that is about none of the injects."""
    left: tuple[Left, ...] = ()
    """Who lost it."""
    present: tuple[str, ...] = ()
    """The partners that take part still."""


def told(report: ExerciseReport) -> dict[str, Any]:
    """Gives a report as JSON holds it: times as RFC 3339, spans in seconds from the inject's moment."""
    due = [one for one in report.injects if one.at <= report.as_of]
    return {
        "exercise": report.name,
        "tlp": report.tlp,
        "partners": list(report.partners),
        "present": list(report.present),
        "lost": [
            asdict(one) | {"accounts": list(one.accounts), "at": _when(one.at), "back": _when(one.back)}
            for one in report.left
        ],
        "until": report.until,
        "started": _when(report.started),
        "started_by": report.started_by,
        "ended": _when(report.ended),
        "ended_by": report.ended_by,
        "reason": report.reason,
        "purged": report.purged,
        "as_of": _when(report.as_of),
        "injects": [_told_inject(one) for one in report.injects],
        "medians": _medians(due, report.partners),
        "missed": {
            "not_detected": [one.number for one in due if one.detected is None],
            "not_shared": [one.number for one in due if one.shared is None],
            "not_received": _lacking(due, report.partners, lambda one: {x.partner for x in one.receipts}),
            "no_feedback": _lacking(due, report.partners, lambda one: {x.partner for x in one.feedback}),
        },
        "other_feedback": [asdict(one) | {"at": _when(one.at)} for one in report.other],
    }


def _told_inject(one: Measured) -> dict[str, Any]:
    return {
        "number": one.number,
        "type": one.kind,
        "value": one.value,
        "techniques": list(one.techniques),
        "injected": _when(one.at),
        "detected": _when(one.detected),
        "sensor": one.sensor,
        "seen": _when(one.seen),
        "seconds_to_detection": _span(one.at, one.detected),
        "shared": _when(one.shared),
        "seconds_to_sharing": _span(one.at, one.shared),
        "received": [
            {"partner": got.partner, "account": got.account, "after": _when(got.after), "by": _when(got.by)}
            | {"seconds": _span(one.at, got.by)}
            for got in one.receipts
        ],
        "feedback": [asdict(said) | {"at": _when(said.at), "seconds": _span(one.at, said.at)} for said in one.feedback],
    }


def _medians(due: Sequence[Measured], partners: Sequence[str]) -> dict[str, Any]:
    def of(spans: Iterable[float | None]) -> float | None:
        known = [span for span in spans if span is not None]
        return round(median(known), 3) if known else None

    return {
        "seconds_to_detection": of(_span(one.at, one.detected) for one in due),
        "seconds_to_sharing": of(_span(one.at, one.shared) for one in due),
        "seconds_to_receipt": {
            who: of(_span(one.at, min((x.by for x in one.receipts if x.partner == who), default=None)) for one in due)
            for who in partners
        },
        "seconds_to_feedback": {
            who: of(_span(one.at, min((x.at for x in one.feedback if x.partner == who), default=None)) for one in due)
            for who in partners
        },
    }


def _lacking(
    due: Sequence[Measured], partners: Sequence[str], have: Callable[[Measured], set[str]]
) -> dict[str, list[int]]:
    return {who: [one.number for one in due if one.shared is not None and who not in have(one)] for who in partners}


def markdown(shown: Mapping[str, Any]) -> str:
    """Writes what ``told`` gives as a page for people; values are written so that nobody can click them."""
    lines = [
        f"# Exercise {shown['exercise']}",
        "",
        "EXERCISE EXERCISE EXERCISE: nothing on this page is real.",
        "",
        f"- Partners: {', '.join(shown['partners'])}; TLP:{shown['tlp'].upper()}",
        f"- Started {shown['started']} by {_cell(shown['started_by'])}; until {shown['until']}",
    ]
    if shown["ended"]:
        because = f": {_cell(shown['reason'])}" if shown["reason"] else ""
        lines.append(f"- Ended {shown['ended']} by {_cell(shown['ended_by'])}{because}")
        lines.append(f"- {shown['purged']} entries of its collection were deleted at its end")
    lines += _lost(shown)
    lines += ["", f"As of {shown['as_of']}. Times are counted from the moment of the inject.", ""]
    lines += ["| inject | value | detected | shared | received | feedback |", "|---|---|---|---|---|---|"]
    for one in shown["injects"]:
        cells = [
            str(one["number"]),
            f"`{_defanged(one['value'])}`",
            _after(one["seconds_to_detection"]) + (f" ({_cell(one['sensor'])})" if one["sensor"] else ""),
            _after(one["seconds_to_sharing"]),
            ", ".join(f"{_cell(got['partner'])} {_after(got['seconds'])}" for got in one["received"]) or "-",
            ", ".join(
                f"{_cell(said['partner'])} {said['type']} {_cell(said['said'])} {_after(said['seconds'])}"
                for said in one["feedback"]
            )
            or "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Medians", ""]
    middle = shown["medians"]
    lines.append(f"- to detection: {_after(middle['seconds_to_detection'])}")
    lines.append(f"- to sharing: {_after(middle['seconds_to_sharing'])}")
    for who in shown["partners"]:
        received, answered = middle["seconds_to_receipt"][who], middle["seconds_to_feedback"][who]
        lines.append(f"- {_cell(who)}: received {_after(received)}, feedback {_after(answered)}")
    lines += ["", "## Missed", ""]
    missed = shown["missed"]
    lines.append(f"- not detected: {_numbers(missed['not_detected'])}")
    lines.append(f"- not shared: {_numbers(missed['not_shared'])}")
    for who in shown["partners"]:
        lines.append(f"- {_cell(who)} did not receive: {_numbers(missed['not_received'][who])}")
        lines.append(f"- {_cell(who)} did not answer: {_numbers(missed['no_feedback'][who])}")
    if shown["other_feedback"]:
        lines += ["", "## Posted beside the injects", ""]
        lines += [f"- {x['at']} {_cell(x['partner'])}: {x['type']} {_cell(x['said'])}" for x in shown["other_feedback"]]
    return "\n".join(lines) + "\n"


def _lost(shown: Mapping[str, Any]) -> Iterator[str]:
    # Reports of exercises that ended before this was recorded say nothing of it.
    for one in shown.get("lost", ()):
        who = _cell(one["partner"]) or "Accounts of no partner"
        back = f"; invited again {one['back']} by {_cell(one['back_by'])}" if one["back"] else ""
        yield f"- {who} lost the exercise {one['at']}: {_cell(one['reason'])}{back}"
    if not shown["ended"] and not shown.get("present", True):
        yield "- No partner remains in it"


def _when(at: Micros | None) -> str | None:
    return None if at is None else f"{moment(at):%Y-%m-%dT%H:%M:%S}Z"


def _span(begin: Micros, end: Micros | None) -> float | None:
    return None if end is None else round((end - begin) / _SECOND, 3)


def _after(seconds: float | None) -> str:
    """Writes a span as people do: the two largest units of it."""
    if seconds is None:
        return "-"
    left = round(seconds)
    sign, left = ("-", -left) if left < 0 else ("", left)
    parts = [(left // 86_400, "d"), (left // 3_600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), 3)
    return sign + " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count or unit == "s")


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _cell(text: object) -> str:
    plain = "".join(one if one.isprintable() else "?" for one in str(text or ""))
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _defanged(value: str) -> str:
    return _cell(value).replace("http", "hxxp", 1).replace(".", "[.]").replace("@", "[@]")
