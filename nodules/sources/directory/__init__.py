"""Scans and tables from a folder that the user has: LUNA16, whole or in part, or others."""
