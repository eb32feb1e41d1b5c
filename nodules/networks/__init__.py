"""The networks: one module for each architecture, and the files of trained networks."""
