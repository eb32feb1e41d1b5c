"""Metrics on patches, with intervals over patients."""
