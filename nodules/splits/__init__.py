"""Divides patients into training, validation and test parts, and checks that nothing leaks."""
