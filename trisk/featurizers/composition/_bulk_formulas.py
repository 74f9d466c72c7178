"""Plain formulas (symbols and decimal amounts, no brackets) parsed all at once as bytes.

A formula is plain when it is ASCII, alternates symbols of one or two letters with optional
decimal amounts and names each element once. Anything else is left to
:func:`~trisk.featurizers.composition._formula.parse_formula`, which also explains what is wrong.
"""

import numpy as np

from trisk.featurizers.composition._formula import (
    AMOUNT_TOLERANCE,
    MAX_FORMULA_LENGTH,
)
from trisk.structures.elements import ATOMIC_NUMBERS

_OTHER, _UPPER, _LOWER, _DIGIT, _DOT, _END = range(6)

# Up to 15 digits an integer and a power of ten are exact in float64, so that their quotient is
# the correctly rounded decimal: the very number float() gives.
_MAX_NUMBER_LENGTH = 15


def _byte_classes():
    classes = np.full(256, _OTHER, dtype=np.uint8)
    classes[ord("A") : ord("Z") + 1] = _UPPER
    classes[ord("a") : ord("z") + 1] = _LOWER
    classes[ord("0") : ord("9") + 1] = _DIGIT
    classes[ord(".")] = _DOT
    classes[ord("\n")] = _END
    return classes


def _allowed_pairs():
    allowed = np.zeros((6, 6), dtype=bool)
    allowed[_END, _UPPER] = True
    allowed[_UPPER, [_UPPER, _LOWER, _DIGIT, _DOT, _END]] = True
    allowed[_LOWER, [_UPPER, _DIGIT, _DOT, _END]] = True
    allowed[_DIGIT, [_UPPER, _DIGIT, _DOT, _END]] = True
    allowed[_DOT, _DIGIT] = True
    return allowed.ravel()


def _symbol_codes():
    codes = np.zeros(26 * 27, dtype=np.int64)
    for symbol, number in ATOMIC_NUMBERS.items():
        codes[_symbol_code(*np.frombuffer(symbol.ljust(2, "`").encode(), np.uint8))] = number
    return codes


def _symbol_code(first, second):
    """Number a symbol from its two bytes; "`", just before "a", stands for no second letter."""
    return (first - np.int64(ord("A"))) * 27 + (second - np.int64(ord("`")))


_CLASS = _byte_classes()
_ALLOWED = _allowed_pairs()
_NUMBER_OF_SYMBOL = _symbol_codes()


def parse_plain_formulas(formulas):
    """Parse the plain ones among many formulas.

    Parameters
    ----------
    formulas : list of str
        The formulas.

    Returns
    -------
    lengths : ndarray of int64 of shape (n_formulas,)
        Number of elements of each plain formula, 0 for the others.
    elements : ndarray of int64 of shape (n_entries,)
        Atomic numbers of the plain formulas' entries.
    amounts : ndarray of float64 of shape (n_entries,)
        Their amounts.
    plain : ndarray of bool of shape (n_formulas,)
        Which formulas were parsed here.
    """
    if not formulas:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros(0), np.zeros(0, dtype=bool)
    # One endless string would take a hundred times its size; it is left to be refused.
    formulas = [f if len(f) <= MAX_FORMULA_LENGTH else "" for f in formulas]
    text = np.frombuffer(("\n".join(formulas) + "\n").encode("ascii", "replace"), np.uint8)
    row_ends = np.cumsum(np.fromiter(map(len, formulas), np.int64, len(formulas)) + 1) - 1
    classes = _CLASS[text]
    plain = np.ones(len(formulas), dtype=bool)
    plain[np.searchsorted(row_ends, _forbidden_positions(classes, row_ends))] = False

    boundaries = np.flatnonzero((classes == _UPPER) | (classes == _END))
    is_symbol = classes[boundaries] == _UPPER
    starts = boundaries[is_symbol]
    ends = boundaries[np.flatnonzero(is_symbol) + 1]
    rows = np.searchsorted(row_ends, starts)
    has_second = classes[starts + 1] == _LOWER
    second = np.where(has_second, text[starts + 1], np.uint8(ord("`")))
    elements = _NUMBER_OF_SYMBOL[_symbol_code(text[starts], second)]
    amounts, readable = _read_numbers(text, starts + 1 + has_second, ends)
    plain[rows[(elements == 0) | ~readable | (amounts < AMOUNT_TOLERANCE)]] = False
    plain[_rows_with_repeats(rows, elements)] = False

    kept = plain[rows]
    lengths = np.bincount(rows[kept], minlength=len(formulas))
    return lengths, elements[kept], amounts[kept], plain


def _forbidden_positions(classes, row_ends):
    """Positions whose byte may not follow the one before it."""
    before = np.empty_like(classes)
    before[0] = _END
    before[1:] = classes[:-1]
    forbidden = ~_ALLOWED[before * np.uint8(6) + classes]
    inner_end = classes == _END
    inner_end[row_ends] = False
    return np.flatnonzero(forbidden | inner_end)


def _read_numbers(text, starts, ends):
    """Decimal numbers at text[start:end], 1 where that is empty, and which could be read."""
    lengths = ends - starts
    readable = lengths <= _MAX_NUMBER_LENGTH
    mantissa = np.zeros(len(starts), dtype=np.int64)
    decimals = np.zeros(len(starts), dtype=np.int64)
    n_dots = np.zeros(len(starts), dtype=np.int64)
    left = np.flatnonzero((lengths > 0) & readable)
    offset = 0
    while len(left):
        byte = text[starts[left] + offset]
        dot = byte == ord(".")
        digit = byte.astype(np.int64) - ord("0")
        mantissa[left] = np.where(dot, mantissa[left], mantissa[left] * 10 + digit)
        decimals[left] += (n_dots[left] > 0) & ~dot
        n_dots[left] += dot
        offset += 1
        left = left[lengths[left] > offset]
    amounts = mantissa / 10.0**decimals
    amounts[lengths == 0] = 1.0
    return amounts, readable & (n_dots <= 1)


def _rows_with_repeats(rows, elements):
    """Rows that name an element twice: fewer distinct bits than entries."""
    if not len(rows):
        return rows
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    bit = np.uint64(1) << (elements % 64).astype(np.uint64)
    low = np.bitwise_or.reduceat(np.where(elements < 64, bit, np.uint64(0)), first)
    high = np.bitwise_or.reduceat(np.where(elements >= 64, bit, np.uint64(0)), first)
    distinct = np.bitwise_count(low).astype(np.int64) + np.bitwise_count(high)
    counts = np.diff(np.append(first, len(rows)))
    return rows[first[distinct < counts]]
