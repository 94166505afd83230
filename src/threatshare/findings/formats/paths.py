"""Finds what stands at a path in decoded JSON: lists on the way are walked, and keys that hold dots are found too.

Two paths that begin with the same steps are read together: ``hits[].ip`` and ``hits[].verdict`` belong hit by hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from threatshare.findings.documents import Doc

Steps = tuple[str, ...]
"""The keys on the way, e.g. ``("hits", "ip")``."""

Trail = tuple[tuple[int, Doc], ...]
"""The objects on the way to a value, each with the number of steps that led to it."""


def leaves(node: Any, steps: Steps, done: int = 0, trail: Trail = ()) -> Iterator[tuple[Any, Trail]]:
    """Yields what stands at a path, list by list, each with the objects on its way."""
    if isinstance(node, list):
        for one in node:
            yield from leaves(one, steps, done, trail)
    elif done == len(steps):
        yield node, trail
    elif isinstance(node, dict):
        for key, end in _ahead(steps, done):
            if key in node:
                yield from leaves(node[key], steps, end, (*trail, (done, node)))


@lru_cache(maxsize=4_096)
def _ahead(steps: Steps, done: int) -> tuple[tuple[str, int], ...]:
    """Gives the keys that may come next, each with the steps that it takes: the next step, or several with dots."""
    return tuple((".".join(steps[done:end]), end) for end in range(done + 1, len(steps) + 1))


def texts(doc: Any, steps: Steps) -> Iterator[str]:
    """Yields the texts, numbers and truth values at a path as text; what is empty is left out."""
    return (text for leaf, _ in leaves(doc, steps) if (text := as_text(leaf)))


def as_text(leaf: Any) -> str:
    """Gives a text, number or truth value as text without blanks around it; empty for all else."""
    match leaf:
        case str():
            return leaf.strip()
        case bool():
            return "true" if leaf else "false"
        case int() | float():
            return repr(int(leaf) if isinstance(leaf, float) and leaf.is_integer() else leaf)
        case _:
            return ""


@lru_cache(maxsize=4_096)
def _common(one: Steps, other: Steps) -> int:
    """Counts the steps that two paths to different fields have in common."""
    pairs = zip(one[:-1], other[:-1], strict=False)
    return next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)) - 1)


def nearest(trail: Trail, steps: Steps, other: Steps) -> tuple[int, Doc]:
    """Gives the object nearest to a value through which another path leads too, and the steps that led to it."""
    common = _common(steps, other)
    return next(at for at in reversed(trail) if at[0] <= common)


def objects(doc: Doc, one: Steps, other: Steps) -> Iterator[tuple[Doc, int]]:
    """Yields each object that holds what two paths lead to, and the number of steps that lead to it."""
    for depth in range(_common(one, other), -1, -1):
        found = [node for node, _ in leaves(doc, one[:depth]) if isinstance(node, dict)]
        if found:
            yield from ((node, depth) for node in found)
            return
