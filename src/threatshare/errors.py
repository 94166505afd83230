"""What can go wrong, as one shallow tree; each leaf carries the exit code of the command line.

    ThreatshareError              1
    ├── UsageError                2   the command was called wrongly
    ├── ConfigurationError        3   node file, own assets, agreement, feed file
    ├── PartnerError              4   a partner's server, the network, a feed
    └── StoreError                5   the store cannot be opened, read or written

A value that cannot be read is no error of the program: functions that read untrusted
values raise ``BadValue``, which is always caught where the value is kept aside with its
reason, and never ends a batch.
"""

from __future__ import annotations


class ThreatshareError(Exception):
    """An error that a person can act on: says what, where and what to do next."""

    exit_code = 1


class UsageError(ThreatshareError):
    """The command was called in a way that cannot be carried out."""

    exit_code = 2


class ConfigurationError(ThreatshareError):
    """A file of the node directory is missing, unreadable or says something impossible."""

    exit_code = 3


class PartnerError(ThreatshareError):
    """A partner's server or feed did not answer as the standard or our limits demand."""

    exit_code = 4
    retry_after: float | None = None
    """Seconds after which the partner asked to be called again; None: it did not say."""


class StoreError(ThreatshareError):
    """The store cannot be opened, read or written."""

    exit_code = 5


class BadValue(ValueError):
    """An untrusted value or object was refused; the message is the reason, without the value's context."""
