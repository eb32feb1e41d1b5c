"""Training a network, resumed after an interruption."""
