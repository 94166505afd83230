"""Scorecards and pictures; empty until there are outcomes to report on."""
