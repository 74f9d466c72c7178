"""Measurements of many crystals: what is kept is read, the rest is computed and kept at once."""

import secrets
from dataclasses import dataclass
from typing import Any

from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

from trisk.featurizers._store import ContentStore
from trisk.featurizers.potential._force_calls import ForceCalls, make_calculator
from trisk.featurizers.potential._measurements import (
    MeasurementSettings,
    from_bytes,
    measure,
    measurement_key,
    to_bytes,
)

#: The calculator of this process, under the token of the run that it was made for.
_CALCULATORS: dict[str, Any] = {}


@dataclass(frozen=True)
class MeasurementRuns:
    """What to measure, how, and where to keep it.

    Parameters
    ----------
    source : ASE calculator, object with ``calculate_many``, or callable
        The potential, or what makes it.
    names : list of str
        The measurements.
    settings : MeasurementSettings
        How to make them.
    potential : str or None
        Name of the potential, under which ``store`` keeps its measurements.
    batch_atoms : int
        Most atoms in one call.
    time_limit : float or None
        Seconds that one crystal may take.
    store : ContentStore or None
        Where measurements are kept.
    """

    source: Any
    names: list[str]
    settings: MeasurementSettings
    potential: str | None
    batch_atoms: int
    time_limit: float | None
    store: ContentStore | None

    def run(self, crystals, *, n_jobs, progress):
        """Measure crystals; equal ones once.

        Parameters
        ----------
        crystals : dict of int to Atoms
            Crystals by row.
        n_jobs : int or None
            Workers over crystals.
        progress : bool
            Whether to show a progress bar.

        Yields
        ------
        row : int
            The row.
        records : dict of str to dict
            Its measurements.
        cause : str or None
            What went wrong.
        """
        keys = {row: self._key("geometry", atoms) for row, atoms in crystals.items()}
        rows_of: dict[bytes, list[int]] = {}
        for row, key in keys.items():
            rows_of.setdefault(key, []).append(row)
        distinct = {key: crystals[rows[0]] for key, rows in rows_of.items()}
        known = self._read(distinct)
        missing = [key for key in distinct if len(known[key]) < len(self.names)]
        token = secrets.token_hex(8)
        results = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_measure_one)(
                token,
                self.source,
                distinct[key],
                self.names,
                self.settings,
                known[key],
                self.batch_atoms,
                self.time_limit,
            )
            for key in missing
        )
        with tqdm(
            total=len(distinct),
            initial=len(distinct) - len(missing),
            desc="potential sensors",
            unit="structures",
            disable=not progress,
        ) as bar:
            for key in known.keys() - set(missing):
                yield from ((row, known[key], None) for row in rows_of[key])
            for key, (made, cause) in zip(missing, results, strict=True):
                if self.store is not None and made:
                    self.store.put_many(
                        {self._key(m, distinct[key]): to_bytes(r) for m, r in made.items()}
                    )
                bar.update()
                yield from ((row, {**known[key], **made}, cause) for row in rows_of[key])

    def _key(self, name, atoms):
        return measurement_key(name, atoms, str(self.potential), self.settings)

    def _read(self, distinct):
        """Measurements that are kept, by crystal and name."""
        if self.store is None:
            return {first: {} for first in distinct}
        keys = {
            first: {name: self._key(name, atoms) for name in self.names}
            for first, atoms in distinct.items()
        }
        kept = self.store.get_many(key for of_one in keys.values() for key in of_one.values())
        return {
            first: {name: from_bytes(kept[key]) for name, key in of_one.items() if key in kept}
            for first, of_one in keys.items()
        }


def _measure_one(token, source, atoms, names, settings, known, batch_atoms, time_limit):
    """Make the measurements of one crystal; return them and, after a failure, its cause."""
    if token not in _CALCULATORS:
        _CALCULATORS.clear()
        _CALCULATORS[token] = make_calculator(source)
    calls = ForceCalls(_CALCULATORS[token], batch_atoms, time_limit)
    try:
        return measure(atoms, calls, names, settings, known), None
    except Exception as error:  # whatever a foreign calculator raises
        return {}, f"{type(error).__name__}: {error}"
