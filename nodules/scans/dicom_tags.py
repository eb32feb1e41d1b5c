"""Reads the values of DICOM tags, and makes the error message for a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag


def refuse(path: Path, keyword: str, expected: str, received: object) -> NoReturn:
    """Raise the error for a wrong tag of a file.

    Parameters
    ----------
    path
        The path of the file.
    keyword
        The tag's keyword in DICOM.
    expected, received
        The expected value and the received value, as words of the message.

    Raises
    ------
    ValueError
        In all cases. The message names the file, the keyword and the number of the tag.
    """
    tag = Tag(tag_for_keyword(keyword) or 0)
    number = f"({tag.group:04X},{tag.element:04X})"
    msg = f"{path}: Expected {keyword} {number} {expected}. Received: {received}"
    raise ValueError(msg)


def words_of(tags: Dataset, keyword: str) -> Sequence[Any]:
    """Give the values of a tag.

    Parameters
    ----------
    tags
        The tags of a file, or of an item of a sequence.
    keyword
        The tag's keyword in DICOM.

    Returns
    -------
    words
        The values, in the type that pydicom gives. There are none if the tag is absent or empty.
    """
    value = tags.get(keyword)
    if value is None or value == "":
        return ()
    return [value] if isinstance(value, (str, int, float)) else list(value)


def numbers_of(path: Path, tags: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """Give the numbers of a tag.

    Parameters
    ----------
    path
        The path of the file, for the error message.
    tags
        The tags of the file, or of an item of a sequence.
    keyword
        The tag's keyword in DICOM.
    count
        The number of numbers that the tag must have.

    Returns
    -------
    numbers
        The numbers, all of them finite.

    Raises
    ------
    ValueError
        If the tag is absent, does not have so many values, or a value is not a finite number.
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
