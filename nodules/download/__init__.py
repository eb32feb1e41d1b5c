"""One URL to one file: fetched, resumed, retried, checked."""
