"""Searching whole scans for nodules."""
