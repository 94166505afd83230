from __future__ import annotations

import pytest

from threatshare.feeds.recognition import kind_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("https://ais2.cisa.dhs.gov/taxii2/", "taxii"),
        ("https://ais2.cisa.dhs.gov/taxii2", "taxii"),
        ("https://ais2.cisa.dhs.gov/public/", "taxii"),
        ("https://taxii.example", "taxii"),
        ("https://taxii.example:9000/", "taxii"),
        ("https://h.example/api/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/", "taxii"),
        ("https://h.example/api/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/objects", "taxii"),
        ("HTTPS://H.EXAMPLE/TAXII2/ROOT", "taxii"),
        ("https://h.example/reports/AA23-074A.stix.json", "stix"),
        ("https://h.example/taxii2/export.json?key=1", "stix"),
        ("https://h.example/pegasus.stix2", "stix"),
        ("https://h.example/latest", "stix"),
        ("/srv/drop/taxii2/", "stix"),
        ("bundle.json", "stix"),
        (r"C:\feeds\taxii2", "stix"),
        ("http://[broken", "stix"),
        ("", "stix"),
    ],
)
def test_kind(text: str, kind: str) -> None:
    """Addresses that name TAXII or end in a slash are pulled, files and paths are read."""
    assert kind_of(text) == kind
