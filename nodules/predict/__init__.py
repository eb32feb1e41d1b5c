"""Searches scans of one's own with trained networks, without a pipeline."""
