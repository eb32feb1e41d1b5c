"""Values of DICOM tags, and one line that names the tag where one is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag


def refuse(path: Path, keyword: str, expected: str, received: object) -> NoReturn:
    """Raise for a tag of a file.

    Parameters
    ----------
    path
        The file.
    keyword
        The tag's name in DICOM.
    expected, received
        The two halves of the message.

    Raises
    ------
    ValueError
        Always.
    """
    tag = Tag(tag_for_keyword(keyword) or 0)
    number = f"({tag.group:04X},{tag.element:04X})"
    msg = f"{path}: Expected {keyword} {number} {expected}. Received: {received}"
    raise ValueError(msg)


def words_of(tags: Dataset, keyword: str) -> Sequence[Any]:
    """Give a tag's values, none where it is absent or empty.

    Parameters
    ----------
    tags
        Of a file, or of an item of a sequence.
    keyword
        The tag's name in DICOM.

    Returns
    -------
    words
        Of whatever type pydicom gives them.
    """
    value = tags.get(keyword)
    if value is None or value == "":
        return ()
    return [value] if isinstance(value, (str, int, float)) else list(value)


def numbers_of(path: Path, tags: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """Give a tag's numbers.

    Parameters
    ----------
    path
        The file, for the message.
    tags
        Of the file, or of an item of a sequence.
    keyword
        The tag's name in DICOM.
    count
        How many it must have.

    Returns
    -------
    numbers
        Finite.

    Raises
    ------
    ValueError
        If it has others, or none.
    """
    try:
        words = words_of(tags, keyword)
        numbers = tuple(float(word) for word in words)
    except (ValueError, TypeError):
        words = numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        shown = tags.get(keyword) if keyword in tags else "no such tag"
        refuse(path, keyword, f"of {count} finite numbers", shown)
    return numbers
