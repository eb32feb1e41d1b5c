"""A study of how well networks separate real patches of nodules from other patches."""
