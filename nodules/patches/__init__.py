"""Patches: where they lie, how they are cut, stored and read."""
