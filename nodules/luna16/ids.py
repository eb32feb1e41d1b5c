"""What can be the id of a scan or of a patient, and which two ids are likely one that was changed.

Ids are compared to the character everywhere. So an id that a spreadsheet or an editor has changed
is another scan, or another patient, who may then train and test at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from nodules.luna16.csv_file import TablePath

# What is left of an id that was once a float: digits, decimals, an exponent.
_FLOAT = re.compile(r"[-+]?\d+([.,]\d+)?[eE]\+\d+|[-+]?\d+[.,]\d+[eE]-?\d+")
# What a spreadsheet shows where it has no value, or no room for it.
_ERROR = re.compile(r"#(N/A|REF!|NAME\?|VALUE!|NUM!|NULL!|DIV/0!|#+)")
# Beside what str.isprintable() knows: blanks that count as letters, marks that draw nothing, and
# what stands for a character that was lost.
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
# Digits that a double, and so a spreadsheet, keeps.
_KEPT_DIGITS = 15

UNLIKE = (
    "ids that differ by more than case, spaces, dashes, quotes, look-alike letters or leading zeros"
)


def id_flaw(value: object) -> str | None:
    """Say what would have to be otherwise for a value to be an id.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    expected
        What an id is that this value is not; None if it is one.
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
    """Find two different ids that are likely one.

    They differ only in case, in how Unicode writes them, in spaces, dashes, quotes or characters
    that cannot be seen, by letters of other scripts that look the same, or by leading zeros.

    Parameters
    ----------
    ids
        Any number of each.

    Returns
    -------
    pair
        The first two, in the order in which they came; None if there are none.
    """
    first_of: dict[str, str] = {}
    for uid in dict.fromkeys(ids):
        first = first_of.setdefault(_likeness(uid), uid)
        if first != uid:
            return first, uid
    return None


def _likeness(uid: str) -> str:
    """Give what ids have in common that are likely one."""
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
        All ids of a column: a single long one may well end with zeros.

    Returns
    -------
    uid
        The first number of more than 15 digits, if beyond the 15th there are none but zeros in all
        such ids, and at least three; else None.
    """
    long = [uid for uid in dict.fromkeys(ids) if uid.isdecimal() and len(uid) > _KEPT_DIGITS]
    beyond = "".join(uid[_KEPT_DIGITS:] for uid in long)
    return long[0] if len(beyond) > 2 and not beyond.strip("0") else None


def refuse_alike(table: pd.DataFrame, path: TablePath) -> None:
    """Refuse a list of scans in which two ids are likely one, or were rounded.

    Parameters
    ----------
    table
        Columns of ids alone, with the line of each row as index.
    path
        The file that the table came from, for the message.

    Raises
    ------
    ValueError
        Naming two such ids and their lines.
    """
    for column in table.columns:
        ids = table[column]
        if alike := find_alike(ids):
            first, second = (ids.index[ids == uid][0] for uid in alike)
            # As ASCII: letters that look alike are told apart.
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
