"""A node that shares cyber threat indicators under agreements."""

__version__ = "0.1.0"
