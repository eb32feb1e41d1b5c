"""Converts values to bytes and back. Unlike with pickle, nothing is executed when they are read.

The first line is JSON and describes the parts of the value. The bytes of its arrays and tables
follow.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Booleans, numbers and text. In arrays of other kinds, the bytes do not hold the values.
_ARRAY_KINDS = "biufcSU"


def pack(value: object) -> bytes:
    """Convert a value to bytes.

    Parameters
    ----------
    value
        None, a boolean, a number, a string, bytes, an array or scalar of NumPy, a table of pandas,
        or a list, a dictionary with strings as keys, a counter or a dataclass of such values.

    Returns
    -------
    packed
        The bytes, which `unpack` converts back.

    Raises
    ------
    TypeError
        If the value contains anything else.
    """
    blobs: list[bytes] = []
    tree = json.dumps(_tree_of(value, blobs))
    return b"".join([tree.encode(), b"\n", *blobs])


def _tree_of(value: object, blobs: list[bytes]) -> object:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in _ARRAY_KINDS:
            msg = f"Expected an array of numbers or text. Received: {array.dtype}"
            raise TypeError(msg)
        blobs.append(array.tobytes())
        of = "array" if isinstance(value, np.ndarray) else "scalar"
        return {"of": of, "dtype": array.dtype.str, "shape": array.shape, "bytes": array.nbytes}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_tree_of(item, blobs) for item in value]
    if isinstance(value, bytes):
        blobs.append(value)
        return {"of": "bytes", "bytes": len(value)}
    if isinstance(value, pd.DataFrame):
        blobs.append(value.to_parquet())
        return {"of": "table", "bytes": len(blobs[-1])}
    if isinstance(value, dict):
        of = "counter" if isinstance(value, Counter) else "dict"
        if any(not isinstance(key, str) for key in value):
            msg = f"Expected strings as keys. Received: {list(value)}"
            raise TypeError(msg)
        return {"of": of, "items": {key: _tree_of(item, blobs) for key, item in value.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: _tree_of(getattr(value, f.name), blobs) for f in dataclasses.fields(value)
        }
        return {"of": type(value).__name__, "items": fields}
    msg = f"Expected numbers, text, arrays, tables or dataclasses. Received: {type(value)}"
    raise TypeError(msg)


def unpack(packed: bytes, classes: Sequence[type] = ()) -> Any:  # noqa: ANN401 (what was packed)
    """Convert the bytes of `pack` back to the value.

    Parameters
    ----------
    packed
        The bytes, whole and unchanged.
    classes
        The dataclasses that the value may contain.

    Returns
    -------
    value
        A value that is equal to the one that was packed.

    Raises
    ------
    ValueError
        If the value contains a dataclass that is not among `classes`.
    """
    stream = io.BytesIO(packed)
    tree = json.loads(stream.readline())
    return _value_of(tree, stream, {made.__name__: made for made in classes})


def _value_of(tree: Any, stream: io.BytesIO, classes: dict[str, type]) -> Any:  # noqa: ANN401
    if isinstance(tree, list):
        return [_value_of(item, stream, classes) for item in tree]
    if not isinstance(tree, dict):
        return tree
    of = tree["of"]
    if of in ("array", "scalar"):
        array: NDArray[Any] = np.ndarray(
            tree["shape"], np.dtype(tree["dtype"]), bytearray(stream.read(tree["bytes"]))
        )
        return array if of == "array" else array[()]
    if of == "bytes":
        return stream.read(tree["bytes"])
    if of == "table":
        return pd.read_parquet(io.BytesIO(stream.read(tree["bytes"])))
    items = {key: _value_of(item, stream, classes) for key, item in tree["items"].items()}
    if of == "dict":
        return items
    if of == "counter":
        return Counter(items)
    if of not in classes:
        msg = f"Expected one of {sorted(classes)}. Received: {of}"
        raise ValueError(msg)
    return classes[of](**items)
