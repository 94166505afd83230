"""Names of people where machines write them: mail addresses, folders, parameters of URLs, names of their computers.

What can be told from form alone; a name in a sentence cannot, and no text of a finding ever leaves for that reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

# Read backwards from the at sign: whatever stands before those 64 characters, they are an address (RFC 5321 §4.5.3.1).
_LOCAL_BACKWARDS = re.compile(r"[\w.%+'-]{1,64}").match
_LONGEST_LOCAL = 64
_DOMAIN = re.compile(r"[^\W_](?:[^\W_]|[.-]){3,252}").match
_LITERAL = re.compile(r"(?i)\[(?:ipv6:)?([0-9a-f.:]{2,45})\]").match
_LAST_LABEL = re.compile(r"[^\W\d_](?:[^\W_]|-){1,62}").fullmatch
_VERP = re.compile(r"(?i)(?<![a-z0-9.?&;#/_])([a-z0-9_.+'-]{1,64})=([a-z0-9-][a-z0-9.-]{0,250}\.[a-z]{2,24})@")
"""A mailing list's own address that names whom it wrote to: ``bounce-jane=example.com@list.example``; no parameter."""
_NO_DOMAIN = frozenset(
    "png jpg jpeg gif webp svg ico bmp css js mjs json xml html htm php asp aspx jsp txt csv pdf gz exe dll".split()
)
"""What stands behind the last dot in ``icon@2x.png``."""

_SPELLED = re.compile(
    r"(?<![a-z0-9])[a-z0-9_.+-]{0,48}[a-z0-9](?:-at-|_at_|\(at\)|\[at\])[a-z0-9](?:[a-z0-9]|[-_.](?=[a-z0-9])){0,60}?[-_.]"
    r"(?:dot[-_.])?(?:com|org|net|edu|gov|mil|de|fr|uk|eu)(?![a-z0-9])"
)
"""Blanks around the word would make addresses of sentences: ``seen at evil.com``."""

_FOLDER = re.compile(r"(?i)[\\/](?:users|documents and settings|home)[\\/]{1,4}([^\\/\"'<>|:*?&;#\s\])]{1,64})")
_NO_PERSONS_FOLDER = frozenset(
    "public default defaultuser defaultuser0 administrator admin administrateur administrador root guest shared "
    "localservice networkservice systemprofile runneradmin runner vagrant ubuntu debian centos fedora ec2-user "
    "azureuser opc pi git www www-data user username users %username% $user ${user} <user> [user] {user} all "
    "home index login main about contact products services news blog api app assets static css js img images".split()
)
"""``All Users`` and ``Default User`` are read up to their blank; the last line are folders of web sites, not people."""

_USER_INFO = re.compile(r"(?i)[a-z][a-z0-9+.-]{1,15}://([^/?#@\s'\"]{1,128})@")
_BETWEEN = re.compile(r"[?&;#/,|\s'\"]+").split
_USER_PARAMETERS = frozenset(
    "user users username userid uname usr login loginid loginname logon logonid account accountname acct email emailid "
    "emailaddress mail mailto upn samaccountname fname firstname lname lastname fullname surname "
    "loginhint recipient recipients rcpt rcptto to u displayname".split()
)
"""Without hyphens, underscores and what stands in brackets, in lower case."""
_HOST_PARAMETERS = frozenset(
    "computer computername pc pcname hostname machine machinename workstation devicename".split()
)
_NAME_LIKE = re.compile(r"[^\W\d_]+(?:[ +.'_-][^\W\d_]+){0,6}[._-]?\d{0,6}").fullmatch
"""Letters, perhaps digits behind them: ids and tokens have theirs anywhere."""
_NOBODY = frozenset(
    "admin administrator root guest test tester user username login logon demo info support help sales contact office "
    "service system default anonymous anon nobody none null nil undefined true false yes no on off new old my me "
    "email mail webmail postmaster webmaster hostmaster abuse noreply no-reply login_submit submit required id "
    "main home index auth verify verification confirm update success failed error".split()
)
_ONE_DRIVE = re.compile(r"(?i)/personal/([a-z0-9-]+(?:_[a-z0-9-]+){2,12})(?![a-z0-9_-])").finditer
"""SharePoint writes the mail address of a person's own site with underscores."""
_OF_DOMAIN = re.compile(r"(?<=[=/?&:])[A-Za-z][A-Za-z0-9-]{1,14}\\([A-Za-z][\w.-]{1,63})(?![\\\w])").finditer
_USER_PATH = re.compile(r"(?i)/user/([^/?#&;\s'\"]{2,64})/").finditer
_TILDE = re.compile(r"(?<=/)~([A-Za-z][A-Za-z0-9._-]{1,31})(?=[/?#'\"\s]|$)")

_USER_FOLDER = "/user/"
_PATHS = (
    ("/~", _TILDE.finditer),
    ("\\", _OF_DOMAIN),
    ("/personal/", _ONE_DRIVE),
    (_USER_FOLDER, _USER_PATH),
)

_DEVICES = "pc|laptop|desktop|notebook|macbook|imac|thinkpad|workstation|iphone|ipad"
_DEVICE_LABEL = re.compile(
    rf"(?:(?P<before>[a-z0-9-]{{2,}})-(?:{_DEVICES})(?:-(?:pro|air|mini|\d{{1,4}}))?|(?:{_DEVICES})-(?P<after>[a-z0-9-]{{2,}}))"
).fullmatch
_DEVICE = re.compile(rf"(?:{_DEVICES})\d{{0,4}}").fullmatch
_DEVICE_WORDS = _DEVICES.split("|")
_HOST = re.compile(r"(?i)(?<![a-z0-9_.@-])((?:[a-z0-9_-]{1,63}\.){2,12}[a-z][a-z0-9-]{1,62})(?![a-z0-9_-])")
_WINDOWS = re.compile(
    r"(?<![A-Za-z0-9_.-])(?:(?:DESKTOP|LAPTOP)-|(?:WIN|PC|NB|WS)-(?=[A-Z]*\d))[A-Z0-9]{4,12}(?![A-Za-z0-9_])"
)
"""The names that Windows gives, in capitals as it writes them."""
_NO_PERSONS_COMPUTER = frozenset(
    "app apps web www remote cloud update updates download downloads support client clients api test dev my free "
    "windows win mac linux new old best buy shop store cheap game games gaming repair fix service services help online "
    "soft software tools tool security secure login mail net network server manager data file files driver drivers "
    "cleaner microsoft google apple chrome zoom teams anydesk teamviewer health live pro mini air setup install "
    "installer localhost true false null none yes no".split()
)


def mail_addresses(text: str) -> Iterator[tuple[str, str]]:
    """Yields mail addresses with their domain in lower case, or their address literal (RFC 5321 §4.1.3).

    Also the recipient that a mailing list's sender names, and ``jane-at-corp-com``.
    """
    at = text.find("@")
    while at >= 0:
        local = _LOCAL_BACKWARDS(text[max(0, at - _LONGEST_LOCAL) : at][::-1])
        if local is not None and (domain := _mail_domain(text, at + 1)):
            yield f"{local[0][::-1]}@{domain}", domain.lower()
        at = text.find("@", at + 1)
    if "=" in text:
        for match in _VERP.finditer(text):
            yield f"{match[1]}@{match[2]}", match[2].lower()


def spelled_mail_addresses(text: str) -> list[str]:
    """Gives mail addresses that write a word for their at sign: ``jane-at-corp-com``, ``jane(at)corp.com``."""
    lower = text.lower()
    if "-at-" in lower or "_at_" in lower or "(at)" in lower or "[at]" in lower:
        return _SPELLED.findall(lower)
    return []


def _mail_domain(text: str, start: int) -> str:
    """Gives what stands behind an at sign as far as it may be a domain: ``corp.com`` of ``corp.com.pdf``."""
    literal = _LITERAL(text, start)
    if literal is not None:
        return literal[1]
    found = _DOMAIN(text, start)
    labels = found[0].rstrip(".-").split(".") if found is not None else []
    while len(labels) > 1 and (labels[-1].lower() in _NO_DOMAIN or not _LAST_LABEL(labels[-1])):
        labels.pop()
    return ".".join(labels) if len(labels) > 1 and all(labels) else ""


def folders(text: str) -> Iterator[str]:
    """Yields the names of people whose folders a text names, on Windows, macOS or Unix."""
    lower = text.lower()
    if not ("users" in lower or "home" in lower or "documents and" in lower):
        return
    for match in _FOLDER.finditer(text):
        name = match[1].rstrip(".,")
        known_file = "." in name and name.rpartition(".")[2].lower() in _NO_DOMAIN
        if sum(map(str.isalpha, name)) > 1 and name.lower() not in _NO_PERSONS_FOLDER and not known_file:
            yield name


def user_names(text: str) -> Iterator[str]:
    """Yields names of users in URLs: before the host, in parameters that say so, and in paths."""
    if "@" in text:
        for match in _USER_INFO.finditer(text):
            yield match[1]
    for value in _parameters(text, _USER_PARAMETERS):
        name = value.rpartition("\\")[2]
        if len(name) > 1 and _NAME_LIKE(name) and name.lower() not in _NOBODY:
            yield name
    if "://" in text:
        yield from _in_paths(text)


def _in_paths(text: str) -> Iterator[str]:
    """Yields users' names as ``~name``, behind the name of their domain, and where users have their pages."""
    for mark, find in _PATHS:
        if mark in text:
            for match in find(text):
                if mark != _USER_FOLDER or _is_person(match[1]):
                    yield match[1]


def _is_person(name: str) -> bool:
    lower = name.lower()
    return _NAME_LIKE(name) is not None and lower not in _NOBODY and lower not in _NO_PERSONS_FOLDER


def computers(text: str) -> Iterator[str]:
    """Yields names of computers that seem to be one person's: ``jane-laptop.corp``, ``DESKTOP-4F7K2AB``."""
    if "-" in text and not text.islower():
        yield from _WINDOWS.findall(text)
    lower = text.lower()
    if any(map(lower.__contains__, _DEVICE_WORDS)):
        for match in _HOST.finditer(lower):
            if _of_a_person(match[1].split(".")[:-2]):
                yield match[1]
    for value in _parameters(text, _HOST_PARAMETERS):
        if value.lower() not in _NO_PERSONS_COMPUTER and sum(map(str.isalpha, value)) > 1:
            yield value


def _parameters(text: str, names: frozenset[str]) -> Iterator[str]:
    """Yields the values of parameters of some names."""
    if "=" in text:
        for name, value in _all_parameters(text):
            if name in names:
                yield value


@lru_cache(maxsize=8)
def _all_parameters(text: str) -> list[tuple[str, str]]:
    """Gives all parameters of a text, with their names in one spelling; every detector asks for those of one text."""
    found = []
    for part in _BETWEEN(text):
        if "=" in part:
            steps = part.split("=")
            found += [
                (name.partition("[")[0].replace("_", "").replace("-", "").lower(), value)
                for name, value in pairwise(steps)
            ]
    return found


def _of_a_person(labels: list[str]) -> bool:
    """Tells it by the labels below the registered name; that itself is for sale to anybody."""
    for place, label in enumerate(labels):
        found = _DEVICE_LABEL(label)
        if found is not None and _is_name(found["before"] or found["after"]):
            return True
        if _DEVICE(label) is not None and place > 0 and _is_name(labels[place - 1]):
            return True
    return False


def _is_name(text: str) -> bool:
    words = [word for word in re.split("[-_]", text) if word]
    return any(word not in _NO_PERSONS_COMPUTER and not word.isdigit() and len(word) > 1 for word in words)
