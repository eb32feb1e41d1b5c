"""Lung nodules in CT: the library that the pipeline's stages use.

The library does not depend on DVC, nor on the place of ``params.yaml``.

Conventions of the whole package
--------------------------------
- World coordinates are LPS millimetres, ordered x, y, z (``_xyz_mm``), as ITK and LUNA16 have them.
- Voxel arrays are indexed z, y, x (``_zyx``); continuous voxel indices are ordered x, y, z
  (``_xyz``) as in ITK, and index *i* names the centre of voxel *i*, which covers i-0.5 .. i+0.5.
- A patch of P pixels has its centre at index (P - 1) / 2: 32 for the default of 65.
- Intensities are Hounsfield units (``_hu``), stored as int16.
- ``seriesuid`` and ``patient`` are always strings.

The names below are imported from their rooms when they are first used (PEP 562), so that
``import nodules`` takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodules.froc.score import FrocResult, evaluate
    from nodules.luna16.tables import read_table
    from nodules.scans.geometry import Geometry
    from nodules.scans.read import list_scans, read_slices

    __version__: str

__all__ = [
    "FrocResult",
    "Geometry",
    "__version__",
    "evaluate",
    "list_scans",
    "read_slices",
    "read_table",
]

_MODULE_OF = {
    "FrocResult": "nodules.froc.score",
    "Geometry": "nodules.scans.geometry",
    "evaluate": "nodules.froc.score",
    "list_scans": "nodules.scans.read",
    "read_slices": "nodules.scans.read",
    "read_table": "nodules.luna16.tables",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _MODULE_OF:
        from importlib import import_module

        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lung-nodules")
    except PackageNotFoundError:
        # The package is not installed, but imported from a checkout.
        return "0+unknown"
