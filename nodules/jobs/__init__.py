"""Does long work in parallel, and goes on with it after an interruption."""
