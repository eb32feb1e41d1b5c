"""Studies of quality that are no stage of the pipeline."""
