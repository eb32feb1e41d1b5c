"""Reports for people to read: a summary, a comparison of two runs, and drawings."""
