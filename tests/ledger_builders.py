"""What a line of the ledger says in tests, where it does not matter what."""

from __future__ import annotations

from threatshare.store.ledger import Terms, What

TERMS = Terms(
    What.RELEASE,
    "indicator",
    3,
    "to-north",
    "partner",
    "north",
    None,
    ("agreement-in-force", "minimum-score"),
    (("minimum-score", "Zoë"),),
)
OBJECT = "indicator--00000000-0000-4000-8000-000000000001"
