"""Lung nodules in CT: the library behind the pipeline's stages.

Nothing here knows of DVC or of ``params.yaml``'s place on disk.

Conventions, fixed once for the whole package
---------------------------------------------
- World coordinates are LPS millimetres, ordered x, y, z (``_xyz_mm``), as ITK and LUNA16 have them.
- Voxel arrays are indexed z, y, x (``_zyx``); continuous voxel indices are ordered x, y, z
  (``_xyz``) as in ITK, and index *i* names the centre of voxel *i*, which covers i-0.5 .. i+0.5.
- A patch of P pixels has its centre at index (P - 1) / 2: 32 for the default of 65.
- Intensities are Hounsfield units (``_hu``), stored as int16.
- ``seriesuid`` and ``patient`` are strings, always.
"""
