"""STIX: observables and their canonical values, patterns, our own objects, and reading those of others."""
