"""Compares models, for `make compare`. Unlike the library, these modules use DVC."""
