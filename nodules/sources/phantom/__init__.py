"""Synthetic chest CTs (phantoms) in LUNA16's layout."""
