"""A CT scan: its record, its geometry and its voxels, however they are stored."""
