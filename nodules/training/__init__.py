"""Trains a network, and goes on after an interruption."""
