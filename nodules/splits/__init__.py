"""Who trains, validates and tests, and the audit that nothing leaks."""
