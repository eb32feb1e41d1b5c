"""The networks: one architecture a file, and the file of a trained one."""
