"""Reads ``params.yaml`` into typed objects, and checks the values."""
