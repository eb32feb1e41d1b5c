"""Downloads one URL into one file: goes on after interruptions, tries again, checks the result."""
