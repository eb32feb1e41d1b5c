"""Checks the ids of scans and patients, and finds two ids that are likely the same one.

Ids are compared character by character everywhere. An id that a spreadsheet or an editor has
changed therefore means another scan or another patient, and that patient may then be in the
training and the test part at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from nodules.luna16.csv_file import TablePath

# An id that was converted to a float has this form: digits, decimals, an exponent.
_FLOAT = re.compile(r"[-+]?\d+([.,]\d+)?[eE]\+\d+|[-+]?\d+[.,]\d+[eE]-?\d+")
# A spreadsheet shows these if it has no value, or no room for it.
_ERROR = re.compile(r"#(N/A|REF!|NAME\?|VALUE!|NUM!|NULL!|DIV/0!|#+)")
# Characters that cannot be seen although str.isprintable() is true: blanks that count as letters,
# marks without a shape, and the replacement for a character that was lost.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffd"
    "\U000e0100-\U000e01ef]"
)
# Cyrillic and Greek letters that look like Latin ones, large or small.
_LOOK_ALIKES = str.maketrans(
    "авекмнорстухіјѕ" + "αβεζηικμνορτυχ",
    "abekmhopctyxijs" + "abezhikmnoptyx",
)
_SEPARATORS = re.compile(r"[\s_\-\u2010-\u2015\u2212]+")
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
# A spreadsheet's marks of a text, and a whole number written as a float.
_QUOTES = "='\"`´‘’“”"  # noqa: RUF001
_WHOLE_FLOAT = re.compile(r"^(\d+)\.0+$")
# The number of digits that a double, and so a spreadsheet, keeps.
_KEPT_DIGITS = 15

UNLIKE = (
    "ids that differ by more than case, spaces, dashes, quotes, look-alike letters or leading zeros"
)


def id_flaw(value: object) -> str | None:
    """Say why a value cannot be an id.

    Parameters
    ----------
    value
        The value, from a file or from a table in memory; it can be of any type.

    Returns
    -------
    expected
        The condition that the value fails, for an error message; None if it can be an id.
    """
    if not isinstance(value, str) or not value.strip():
        return "a non-empty id"
    if value != value.strip():
        return "an id without surrounding space"
    if _FLOAT.fullmatch(value):
        return "an id with all its digits, which are lost where it is taken for a number"
    if _ERROR.fullmatch(value):
        return "an id, not a spreadsheet's error"
    if not value.isprintable() or _UNSEEN.search(value):
        return "an id of characters that can be seen"
    return None


def find_alike(ids: Iterable[str]) -> tuple[str, str] | None:
    """Find two different ids that are likely the same one.

    Such ids differ only in case, in their Unicode form, in spaces, dashes, quotes or characters
    that cannot be seen, in letters of other scripts that look the same, or in leading zeros.

    Parameters
    ----------
    ids
        The ids. They may be repeated.

    Returns
    -------
    pair
        The first two such ids, in their order in `ids`; None if there are none.
    """
    first_of: dict[str, str] = {}
    for uid in dict.fromkeys(ids):
        first = first_of.setdefault(_likeness(uid), uid)
        if first != uid:
            return first, uid
    return None


def _likeness(uid: str) -> str:
    """Reduce an id to a form that is equal for ids that are likely the same one."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", uid).casefold())
    text = "".join(
        str(unicodedata.decimal(character, character))
        for character in text
        if (character.isprintable() or character.isspace()) and not _UNSEEN.match(character)
    )
    text = _SEPARATORS.sub("-", text.translate(_LOOK_ALIKES).strip(_QUOTES + " ")).strip("-")
    return _LEADING_ZEROS.sub("", _WHOLE_FLOAT.sub(r"\1", text))


def find_rounded(ids: Iterable[str]) -> str | None:
    """Find an id that was likely rounded: a spreadsheet keeps 15 digits and writes 0 for the rest.

    Parameters
    ----------
    ids
        All ids of a column, because a single long id can end with zeros by chance.

    Returns
    -------
    uid
        The first id that is a number of more than 15 digits, if all digits after the 15th are zeros
        in all such ids, and there are at least three of these zeros; otherwise None.
    """
    long = [uid for uid in dict.fromkeys(ids) if uid.isdecimal() and len(uid) > _KEPT_DIGITS]
    beyond = "".join(uid[_KEPT_DIGITS:] for uid in long)
    return long[0] if len(beyond) > 2 and not beyond.strip("0") else None


def refuse_alike(table: pd.DataFrame, path: TablePath) -> None:
    """Refuse a list of scans in which two ids are likely the same one, or ids were rounded.

    Parameters
    ----------
    table
        A table whose columns are all ids, with the line of each row as index.
    path
        The file that the table came from, for the error message.

    Raises
    ------
    ValueError
        If there are such ids. The message names two of them and their lines, or a rounded one.
    """
    for column in table.columns:
        ids = table[column]
        if alike := find_alike(ids):
            first, second = (ids.index[ids == uid][0] for uid in alike)
            # As ASCII, so that letters that look alike can be told apart.
            msg = (
                f"{path}: line {second}, column {column}: Expected {UNLIKE}. "
                f"Received: {alike[1]!a}, and {alike[0]!a} at line {first}"
            )
            raise ValueError(msg)
        if rounded := find_rounded(ids):
            msg = (
                f"{path}: line {ids.index[ids == rounded][0]}, column {column}: Expected ids with "
                f"all their digits. Received: {rounded!r}; like every longer id, it has none but "
                f"zeros after the {_KEPT_DIGITS}th, as a spreadsheet leaves it"
            )
            raise ValueError(msg)
