"""Decides what may leave: agreements, markings, the gate."""
