"""Searches whole scans for nodules."""
