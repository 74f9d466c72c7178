"""Collections of formulas, compositions, structures or atoms → one table of flat arrays.

Plain formulas (symbols, each once, and decimal amounts) are read all at once as bytes. What is
left is read one by one, which also finds out what is wrong.
"""

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from trisk.structures.elements import ATOMIC_MASSES, ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS
from trisk.structures.readers import describe_structure, is_source, read_structures
from trisk.structures.rows import RowError, as_value_list

#: A longer formula, or one with deeper brackets, is refused: it is a mistake, not a material.
MAX_FORMULA_LENGTH = 10_000
MAX_NESTING = 32
#: Smaller amounts count as absent, as in pymatgen.
AMOUNT_TOLERANCE = 1e-8
#: Larger ones are a mistake, and the squares of much larger ones would overflow.
MAX_AMOUNT = 1e50

_ISOTOPES = {"D": "deuterium", "T": "tritium"}


class FormulaError(ValueError):
    """A value that cannot be read as a composition; the message says why."""


@dataclass(frozen=True)
class CompositionTable:
    """Compositions as flat arrays: row ``i`` owns entries ``offsets[i]:offsets[i + 1]``."""

    offsets: np.ndarray  # an empty slice is a row that could not be read
    elements: np.ndarray  # atomic numbers, each once in a row, in order of first appearance
    amounts: np.ndarray  # as given, not normalised, all positive
    formulas: np.ndarray  # the rows as text, for messages
    charges: np.ndarray | None = None  # sum of each row's charges; NaN where not all are given

    @property
    def n_rows(self):
        return len(self.offsets) - 1

    @cached_property
    def lengths(self):
        return np.diff(self.offsets)

    @cached_property
    def rows(self):
        return np.repeat(np.arange(self.n_rows), self.lengths)

    @cached_property
    def places(self):
        """Place of each entry within its row, counted from 0."""
        return np.arange(len(self.elements)) - self.offsets[self.rows]

    @cached_property
    def fractions(self):
        return self.amounts / self.sum(self.amounts)[self.rows]

    def sum(self, values):
        """Sum of one value per entry over each row."""
        return np.bincount(self.rows, weights=values, minlength=self.n_rows)

    def mean(self, values):
        """Mean of one value per entry over each row, weighted by atomic fraction."""
        return self.sum(self.fractions * values)

    def any(self, flags):
        """Whether an entry of each row is flagged."""
        return self.sum(flags) > 0

    def minimum(self, values):
        """Least value per entry in each row; no row may be empty."""
        return np.minimum.reduceat(values, self.offsets[:-1])

    def maximum(self, values):
        """Largest value per entry in each row; no row may be empty."""
        return np.maximum.reduceat(values, self.offsets[:-1])

    @cached_property
    def pairs(self):
        """Entries ``first < second`` of every pair within a row, and the pair's row, ascending."""
        second = np.repeat(np.arange(len(self.places)), self.places)
        start = np.repeat(np.cumsum(self.places) - self.places, self.places)
        rows = self.rows[second]
        return self.offsets[rows] + np.arange(len(second)) - start, second, rows

    def sum_pairs(self, values):
        """Sum of one value per pair over each row."""
        return np.bincount(self.pairs[2], weights=values, minlength=self.n_rows)

    def take(self, rows):
        """Rows chosen by a slice or by indices, in that order."""
        rows = np.arange(self.n_rows)[rows]
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        charges = None if self.charges is None else self.charges[rows]
        return CompositionTable(
            offsets, self.elements[entries], self.amounts[entries], self.formulas[rows], charges
        )


def parse_compositions(X, featurizer="parser"):
    """Read compositions of any kind: the table, and a RowError for each row left empty in it."""
    values = as_value_list(X)
    is_text = np.fromiter((isinstance(value, str) for value in values), bool, len(values))
    text_rows = np.flatnonzero(is_text)
    formulas, charges = np.empty(len(values), dtype=object), np.full(len(values), np.nan)
    formulas[text_rows] = texts = [value for value in values if isinstance(value, str)]
    lengths, elements, amounts, plain = parse_plain_formulas(texts)
    left = np.ones(len(values), dtype=bool)
    left[text_rows[plain]] = False

    parsed, errors = {}, []
    sources = [row for row in np.flatnonzero(left).tolist() if is_source(values[row])]
    if sources:
        left[sources] = False
        atoms, faults = read_structures([values[row] for row in sources], on_error="nan")
        formulas[sources] = [describe_structure(values[row]) for row in sources]
        errors += [replace(e, row=sources[e.row], featurizer=featurizer) for e in faults]
        numbers = np.split(atoms.atomic_numbers, atoms.offsets["atom"][1:-1])
        parsed = {row: Counter(found.tolist()) for row, found in zip(sources, numbers, strict=True)}
    for row in np.flatnonzero(left).tolist():
        value = values[row]
        try:
            if is_text[row]:
                parsed[row] = parse_formula(value)
            else:
                parsed[row], charges[row] = parse_object(value)
                formulas[row] = describe_structure(value)
        except FormulaError as error:
            formulas[row] = describe_structure(value)
            errors.append(RowError(row, formulas[row], featurizer, str(error)))
    errors.sort(key=lambda error: error.row)
    pairs = [(row, z, amount) for row, found in parsed.items() for z, amount in found.items()]
    one_by_one = np.array(pairs, dtype=float).reshape(-1, 3).T
    rows = np.append(np.repeat(text_rows, lengths), one_by_one[0].astype(np.int64))
    order = np.argsort(rows, kind="stable")
    table = CompositionTable(
        np.append(0, np.cumsum(np.bincount(rows, minlength=len(values)))),
        np.append(elements, one_by_one[1].astype(np.int64))[order],
        np.append(amounts, one_by_one[2])[order],
        formulas,
        charges,
    )
    return table, errors


# Each alternative starts with a different character, so a scan is linear in the length.
_NUMBER = r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e-?[0-9]+)?)?"
_TOKEN = re.compile(rf"([A-Z][a-z]*)\s*{_NUMBER}|(\()|\)\s*{_NUMBER}|\s+")
_BRACKETS = str.maketrans("[]{}", "()()", "@")
#: What separates the parts of an adduct: a centred dot, or the dot before water or ammonia at the
#: end (CuSO4.5H2O, not K0.5H2O, as no amount is 0) or between oxides (CaO.2SiO2).
_SEPARATOR = re.compile(
    r"[·•⋅∙*]|(?<![^0-9]0)\.(?=(?:[0-9]+(?:\.[0-9]+)?)?\s*\(?(?:H2O|NH3)\)?\s*$)"
    r"|(?:(?<=O)|(?<=O[0-9])|(?<=O[0-9]{2}))\.(?=[0-9]*\s*[A-Z][A-Za-z0-9]*O[0-9]*\s*(?:\.|$))"
)
_FACTOR = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)?\s*(.*)", re.DOTALL)
#: An alloy as it is traded, Ti-6Al-4V: the balance, then per cent of others.
_ALLOY = re.compile(
    r"\s*([A-Z][a-z]?)((?:-[0-9]*\.?[0-9]+[A-Z][a-z]?)+)(?:\s*\(?(wt|at)\.?\s*%\)?)?\s*"
)


@lru_cache(maxsize=1024)
def parse_formula(formula):
    """Read one formula into a dict of atomic number → amount, or say in a FormulaError why not."""
    if len(formula) > MAX_FORMULA_LENGTH:
        raise FormulaError(
            f"it has {len(formula)} characters; the limit is {MAX_FORMULA_LENGTH} per formula"
        )
    text = formula.translate(_BRACKETS)
    if not text.strip():
        raise FormulaError("it is empty")
    if alloy := _ALLOY.fullmatch(text):
        return clean_amounts(_read_alloy(*alloy.groups()))
    if not _SEPARATOR.search(text):
        return clean_amounts(_read(text, 0, len(text)))
    separators = [match.start() for match in _SEPARATOR.finditer(text)]
    centred = [place for place in separators if text[place] != "."]
    (*others, last) = separators
    decimals = text[:last].count(".") > len(others)
    if not centred and decimals and text[last - 1 : last + 2 : 2].isdigit():
        raise FormulaError(
            f"the last dot of {formula[:40]!r} may be a decimal point or separate the water of a "
            "hydrate; write ·, or put the water into brackets"
        )
    pairs: list[tuple[int, float]] = []
    start = 0
    for stop in [*(centred or separators), len(text)]:
        number, part = _FACTOR.findall(text, start, stop)[0]
        if not part:
            raise FormulaError("one of the parts between its dots is empty")
        factor = float(number or 1)
        pairs += [(z, amount * factor) for z, amount in _read(text, stop - len(part), stop)]
        start = stop + 1
    return clean_amounts(pairs)


def _read_alloy(balance, others, unit):
    """Elements and amounts of an alloy in per cent, by weight where no unit says otherwise."""
    found = [(symbol, float(n)) for n, symbol in re.findall(r"-([0-9.]+)([A-Za-z]+)", others)]
    rest = 100 - sum(share for _, share in found)
    if rest <= 0:
        raise FormulaError(f"its parts sum to {100 - rest:g} %, which leaves no {balance}")
    pairs = []
    for symbol, share in [(balance, rest), *found]:
        if symbol not in ATOMIC_NUMBERS:
            raise FormulaError(unknown_element(symbol))
        z = ATOMIC_NUMBERS[symbol]
        pairs.append((z, share if unit == "at" else share / ATOMIC_MASSES[z - 1]))
    return pairs


def formulas_from_amounts(table, unit="at%"):
    """Make formulas of a table with a column for each element, as alloys are often given.

    Parameters
    ----------
    table : DataFrame of shape (n_samples, n_columns)
        Amounts in columns that are named by symbols (``"Fe"``, ``"Cr"``); an empty cell is zero,
        and other columns are left alone.
    unit : {"at%", "wt%"}, default="at%"
        Whether amounts count atoms, in any unit, or weigh.

    Returns
    -------
    formulas : Series of shape (n_samples,)
        With the index of `table`, for every featurizer and pipeline of formulas.

    Raises
    ------
    ValueError
        If no column is named by an element, or a row has no amount or one that cannot be.

    Examples
    --------
    >>> import pandas as pd
    >>> from trisk.featurizers import formulas_from_amounts
    >>> table = pd.DataFrame({"Fe": [74.0, 70.0], "Cr": [18, 30.0], "Ni": [8, None]})
    >>> formulas_from_amounts(table, "wt%").tolist()
    ['Fe1.325096Cr0.3461798Ni0.1363015', 'Fe1.253469Cr0.5769663']
    """
    if unit not in ("at%", "wt%"):
        raise ValueError(f'unit={unit!r} is neither "at%" nor "wt%".')
    names = [name for name in table.columns if name in ATOMIC_NUMBERS]
    if not names:
        raise ValueError(f"No column is named by an element: {list(table.columns)[:8]}.")
    amounts = table[names].apply(pd.to_numeric).fillna(0.0)
    values = amounts.to_numpy(dtype=float)
    bad = ~((values >= 0) & np.isfinite(values)).all(axis=1) | ~values.any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Row {row} has the amounts {amounts.iloc[row].to_dict()}: they must be finite, not "
            "negative, and not all zero."
        )
    if unit == "wt%":
        values = values / [ATOMIC_MASSES[ATOMIC_NUMBERS[name] - 1] for name in names]
    texts = ["".join(f"{n}{v:.7g}" for n, v in zip(names, row, strict=True) if v) for row in values]
    return pd.Series(texts, index=table.index, name="formula")


def _read(text, position, stop):
    """Elements and amounts of a part of a formula."""
    groups: list[list[tuple[int, float]]] = [[]]
    while position < stop:
        token = _TOKEN.match(text, position, stop)
        if token is None:
            raise FormulaError(_explain(text, position))
        symbol, amount, opening, repeats = token.groups()
        if symbol:
            if symbol not in ATOMIC_NUMBERS:
                raise FormulaError(unknown_element(symbol, text[position - 1 : position]))
            groups[-1].append((ATOMIC_NUMBERS[symbol], float(amount or 1)))
        elif opening:
            groups.append([])
            if len(groups) > MAX_NESTING + 1:
                raise FormulaError(f"its brackets are nested deeper than {MAX_NESTING} levels")
        elif token.group()[0] == ")":
            if len(groups) == 1:
                raise FormulaError("a bracket is closed that was never opened")
            if not groups[-1]:
                raise FormulaError("it has an empty pair of brackets")
            factor, inner = float(repeats or 1), groups.pop()
            groups[-1] += [(z, amount * factor) for z, amount in inner]
        position = token.end()
    if len(groups) > 1:
        raise FormulaError("a bracket is opened but never closed")
    return groups[0]


def clean_amounts(pairs):
    """Merge repeated elements, drop absent ones and refuse impossible amounts."""
    merged: dict[int, float] = {}
    for z, amount in pairs:
        if amount < -AMOUNT_TOLERANCE:
            raise FormulaError(
                f"the amount of {ELEMENT_SYMBOLS[z - 1]} is {amount:g}; amounts cannot be negative"
            )
        merged[z] = merged.get(z, 0.0) + amount
    total = sum(merged.values())
    if not math.isfinite(total):
        raise FormulaError("its amounts are not finite numbers")
    if total > MAX_AMOUNT:
        raise FormulaError(f"its amounts sum to {total:.3g}; the limit is {MAX_AMOUNT:.0e}")
    present = {z: amount for z, amount in merged.items() if amount >= AMOUNT_TOLERANCE}
    if not present:
        raise FormulaError("it holds no atoms: every amount is zero")
    return present


def unknown_element(symbol, context=""):
    """Say that a symbol is no element, with what may have been meant after that ``context``."""
    if symbol in _ISOTOPES:
        return f"{_ISOTOPES[symbol]} ({symbol}) has no data of its own; write H to count it as that"
    likely = [symbol.capitalize()] if symbol.capitalize() in ATOMIC_NUMBERS else []
    if context + symbol.lower() in ATOMIC_NUMBERS:
        likely.append(context + symbol.lower())
    likely += difflib.get_close_matches(symbol[:8].capitalize(), ELEMENT_SYMBOLS, n=3, cutoff=0.5)
    likely = list(dict.fromkeys(likely))[:3]
    hint = f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else ""
    return f"unknown element {symbol[:20]!r}{hint}"


def _explain(text, position):
    """Describe the first character that no rule of a formula allows."""
    rest = text[position:]
    character = rest[0]
    lower = re.match(r"[a-z]+", rest)
    if lower:
        hint = unknown_element(lower.group(), text[position - 1 : position])
        return f"{hint}; a symbol starts with a capital letter"
    if character in "+-^":
        return (
            f"{character!r} at character {position + 1}: charges and negative amounts are not "
            "understood; give the neutral formula, or an alloy as Ti-6Al-4V"
        )
    if character in "₀₁₂₃₄₅₆₇₈₉":
        return f"{character!r} is a subscript; write amounts with plain digits, as in Fe2O3"
    if character in "0123456789.":
        n_digits = len(rest) - len(rest.lstrip("0123456789."))
        return f"the number {rest[: min(n_digits, 12)]!r} does not follow an element or a bracket"
    return f"{character!r} at character {position + 1} does not belong in a formula"


_ION = re.compile(r"\s*([A-Za-z]+)([0-9]+(?:\.[0-9]+)?)?([+-])?\s*")


def parse_object(value):
    """Amounts, and charge if every species has one, of what offers them as pymatgen or ASE do."""
    if hasattr(value, "get_chemical_symbols"):  # ASE Atoms
        return clean_amounts((_species(number)[0], 1.0) for number in value.numbers), math.nan
    composition = getattr(value, "composition", value)  # pymatgen Structure or Molecule
    if isinstance(composition, Mapping):
        found = [(*_species(key), _amount(amount)) for key, amount in composition.items()]
        charge = sum(charge * n for _, charge, n in found if n >= AMOUNT_TOLERANCE)
        return clean_amounts((z, amount) for z, _, amount in found), charge
    not_a_number = isinstance(value, float | np.floating) and value != value
    if value is None or not_a_number or type(value).__name__ in ("NAType", "NaTType"):
        raise FormulaError("the value is missing")
    raise FormulaError(
        f"it is of type {type(value).__name__}; expected a formula string, a dict, a pymatgen "
        "Composition or Structure, or ASE Atoms"
    )


def _species(key):
    """Atomic number and charge of a key: symbol, "Fe3+", atomic number, Element or Species."""
    if isinstance(key, str):
        match = _ION.fullmatch(key)
        symbol, size, sign = match.groups() if match else (key, None, None)
        if symbol not in ATOMIC_NUMBERS:
            raise FormulaError(unknown_element(symbol))
        return ATOMIC_NUMBERS[symbol], float(f"{sign}{size or 1}") if sign else math.nan
    name = getattr(getattr(key, "element", key), "name", None)  # pymatgen's symbol of D is H
    if name in _ISOTOPES:
        raise FormulaError(unknown_element(name))
    number = getattr(key, "Z", key)
    if isinstance(number, int | float | np.number) and number in range(1, N_ELEMENTS + 1):
        charge = getattr(key, "oxi_state", None)
        return int(number), math.nan if charge is None else float(charge)
    raise FormulaError(f"{str(key)[:20]!r} is not an element")


def _amount(amount):
    try:
        return float(amount)
    except (TypeError, ValueError):
        raise FormulaError(f"the amount {str(amount)[:20]!r} is not a number") from None


_OTHER, _UPPER, _LOWER, _DIGIT, _DOT, _END = range(6)
_CLASS = np.full(256, _OTHER, dtype=np.uint8)
_CLASS[ord("A") : ord("Z") + 1] = _UPPER
_CLASS[ord("a") : ord("z") + 1] = _LOWER
_CLASS[ord("0") : ord("9") + 1] = _DIGIT
_CLASS[[ord("."), ord("\n")]] = _DOT, _END
#: Which class of byte may follow which.
_ALLOWED = np.zeros((6, 6), dtype=bool)
_ALLOWED[_END, _UPPER] = _ALLOWED[_DOT, _DIGIT] = True
_ALLOWED[_UPPER, [_UPPER, _LOWER, _DIGIT, _DOT, _END]] = True
_ALLOWED[_LOWER, [_UPPER, _DIGIT, _DOT, _END]] = True
_ALLOWED[_DIGIT, [_UPPER, _DIGIT, _DOT, _END]] = True
#: Atomic number by the two bytes of a symbol, of which the second may be absent, 0.
_NUMBER_OF_SYMBOL = np.zeros((128, 128), dtype=np.int64)
for _z, _symbol in enumerate(ELEMENT_SYMBOLS, start=1):
    _NUMBER_OF_SYMBOL[tuple(_symbol.ljust(2, "\0").encode())] = _z
# Up to 15 digits an integer and a power of ten are exact in float64, so that their quotient is
# the correctly rounded decimal: the very number float() gives.
_MAX_NUMBER_LENGTH = 15


def parse_plain_formulas(formulas):
    """Lengths (0 if not plain), atomic numbers and amounts of formulas, and which are plain."""
    # One endless string would take a hundred times its size; it is left to be refused.
    formulas = [f if len(f) <= MAX_FORMULA_LENGTH else "" for f in formulas]
    n_rows = len(formulas)
    text = np.frombuffer("\n".join([*formulas, ""]).encode("ascii", "replace"), np.uint8)
    row_ends = np.cumsum(np.fromiter(map(len, formulas), np.int64, n_rows) + 1) - 1
    classes = _CLASS[text]
    before = np.append(np.uint8(_END), classes)[:-1]
    wrong = ~_ALLOWED.ravel()[before * np.uint8(6) + classes]
    inner_end = classes == _END
    inner_end[row_ends] = False
    # An adduct such as NaCl.2H2O would be read as decimals.
    plain = np.fromiter(("." not in f or not _SEPARATOR.search(f) for f in formulas), bool, n_rows)
    plain[np.searchsorted(row_ends, np.flatnonzero(wrong | inner_end))] = False

    boundaries = np.flatnonzero((classes == _UPPER) | (classes == _END))
    is_symbol = classes[boundaries] == _UPPER
    starts = boundaries[is_symbol]
    ends = boundaries[np.flatnonzero(is_symbol) + 1]
    rows = np.searchsorted(row_ends, starts)
    has_second = classes[starts + 1] == _LOWER
    elements = _NUMBER_OF_SYMBOL[text[starts], np.where(has_second, text[starts + 1], 0)]
    amounts, readable = _read_numbers(text, starts + 1 + has_second, ends)
    plain[rows[(elements == 0) | ~readable | (amounts < AMOUNT_TOLERANCE)]] = False
    plain[_rows_with_repeats(rows, elements)] = False
    kept = plain[rows]
    return np.bincount(rows[kept], minlength=n_rows), elements[kept], amounts[kept], plain


def _read_numbers(text, starts, ends):
    """Decimal numbers at text[start:end], 1 where that is empty, and which could be read."""
    lengths = ends - starts
    readable = lengths <= _MAX_NUMBER_LENGTH
    mantissa, decimals, n_dots = np.zeros((3, len(starts)), dtype=np.int64)
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
    """Rows that name an element twice."""
    entries = rows * (N_ELEMENTS + 1) + elements
    entries.sort()
    return entries[1:][entries[1:] == entries[:-1]] // (N_ELEMENTS + 1)
