"""Secrets, which stand in the environment or in files of their own, never in the node's files."""

from __future__ import annotations

import os
from pathlib import Path

from threatshare.errors import ConfigurationError


def secret(env: str | None, file: str | None, place: str) -> str | None:
    """Reads a secret from the environment or a file; None where neither is named."""
    if env is not None:
        if env not in os.environ:
            raise ConfigurationError(f"{place}: the environment variable {env} is not set")
        return os.environ[env]
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except OSError as problem:
            raise ConfigurationError(f"{place}: the secret's file cannot be read: {problem}") from problem
    return None
