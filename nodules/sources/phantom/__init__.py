"""Chest CTs made from nothing, in LUNA16's layout."""
