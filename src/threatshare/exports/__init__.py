"""Files that other tools eat: tables, blocklists, STIX bundles. What may stand in them the caller has decided."""
