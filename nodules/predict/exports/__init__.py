"""Writes findings in the formats of other programs."""
