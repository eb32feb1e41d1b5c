"""LUNA16's official score."""
