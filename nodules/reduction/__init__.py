"""Ranks candidates: a second network that sees them in 3D, and learns from the first's mistakes."""
