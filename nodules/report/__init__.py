"""Reports for people to read: a summary and drawings."""
