"""Findings of the demo, in the sensors' real formats. Every value is from a documentation range or a reserved name."""
