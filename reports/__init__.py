"""Comparison of models: what `make compare` runs. Knows DVC; the library does not."""
