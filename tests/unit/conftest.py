"""What many unit tests begin with: an empty store, and who stands around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import feed_source, make_collection, make_store
from threatshare.model import Collection, CollectionKind
from threatshare.store.embedded import Store
from threatshare.store.sources import Source


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made = make_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def source(store: Store) -> Source:
    """A feed."""
    return feed_source(store)


@pytest.fixture
def siem(store: Store) -> Collection:
    """The collection for our own tools."""
    return make_collection(store, CollectionKind.SIEM)


@pytest.fixture
def partner(store: Store) -> Collection:
    """The collection for the partner north."""
    return make_collection(store, CollectionKind.PARTNER, "to-north", "north")
