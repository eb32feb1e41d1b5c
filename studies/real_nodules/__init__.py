"""A study of how well networks find and measure real nodules, and the networks that ship."""
