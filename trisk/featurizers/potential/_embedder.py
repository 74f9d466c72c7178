"""PotentialEmbedder: what a universal potential knows of atoms, as columns."""

import copy
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from trisk._compat import StrOptions
from trisk.featurizers._rows import TableFeaturizer
from trisk.featurizers.potential._cache import RecordCache, record_key, structure_key
from trisk.featurizers.structure._base import StructureFeaturizer, chunked
from trisk.structures.elements import ELEMENT_SYMBOLS
from trisk.structures.graphs import search, with_bonds

# Bounds the memory of all angles and messages of a batch to some hundred MB.
_BATCH_ATOMS = 500
# What becomes of the atoms of a structure.
_STATISTICS: dict[str, Callable] = {"mean": np.mean, "min": np.min, "max": np.max}


@dataclass(repr=False, eq=False)
class PotentialEmbedder(TableFeaturizer, StructureFeaturizer):
    """Invariant descriptors of atoms and structures from inside a universal potential.

    What a potential computes of an atom before it reads an energy from it knows much of other
    properties too: any regressor on these columns is a property head on its weights. Nothing is
    learned from the data. To train the weights as well, give the potential to
    ``TriForcesOptions(backbone=...)``.

    Parameters
    ----------
    potential : str, path, Module, ASE calculator or fitted potential
        ``"chgnet"``, ``"chgnet-r2scan"``, ``"sevennet-0"`` or ``"7net-l3i5"``, whose weights come
        in their packages (``pip install "trisk[chgnet]"``, ``"trisk[sevennet]"``); a network of
        CHGNet, MACE, Orb or SevenNet, or an ASE calculator that holds one; the path of a file of
        CHGNet; or a fitted :class:`~trisk.estimators.TriForcesPotential`, which goes inside
        ``sklearn.frozen.FrozenEstimator``, or a clone of the embedder forgets it.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a structure that cannot be embedded: raise a
        :class:`~trisk.featurizers.FeaturizationError`, or give NaN and warn once.
    n_jobs : int, default=None
        Number of joblib workers that read structures; None is 1, -1 all processors.
    level : {"structure", "atom"}, default="structure"
        A row for each structure, with the mean, the least and the largest value over its atoms,
        or a row for each atom.
    device : str, default="auto"
        Torch device; ``"auto"`` is CUDA where available, else the CPU, where the potential runs in
        double precision.
    memory : str, path-like or None, default=None
        Folder where descriptors are kept, each with a checksum, under the hash of the structure
        and the weights.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    {attributes}
    n_features_out_ : int
        Number of columns given out.
    prefix_ : str
        What the names of the columns begin with.
    width_ : int
        Number of descriptors of an atom.

    See Also
    --------
    PotentialFeaturizer : What a potential says of a crystal: energies, vibrations, elasticity.

    Notes
    -----
    The descriptors are scalars after every layer: 256 of CHGNet, 640 of SevenNet. Those of the
    last layer alone know half as much of vibrations. Trees gain from all three statistics; kernels
    and linear models do with the means, which
    ``make_column_selector(pattern=" mean ")`` picks.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from trisk.featurizers import PotentialEmbedder
    >>> embedder = PotentialEmbedder("chgnet")  # doctest: +SKIP
    >>> embedder.fit_transform([bulk("Cu"), bulk("NaCl", "rocksalt", a=5.64)]).shape
    ... # doctest: +SKIP
    (2, 768)
    """

    _parameter_constraints = {
        **StructureFeaturizer._parameter_constraints,
        "potential": "no_validation",  # type: ignore[dict-item]
        "level": [StrOptions({"structure", "atom"})],
        "device": [str],
        "memory": [str, PathLike, None],
        "verbose": ["verbose"],
    }

    potential: Any
    _: KW_ONLY
    level: str = "structure"
    device: str = "auto"
    memory: str | PathLike | None = None
    verbose: int = 0

    def transform(self, X):
        """Embed structures.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures, as for ``fit``.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, n_features_out) or (n_atoms, n_features_out)
            One row per structure, under the index of X if X is a pandas object. With
            ``level="atom"``, one row for each atom under its structure and its place there:
            ``embeddings.loc[3]`` are the atoms of the fourth structure.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a structure cannot be embedded.
        """
        atoms, errors = self._read(self._values(X), self.verbose)
        backbone = self._backbone()
        causes = _unknown_elements(backbone, atoms)
        errors += self._errors(atoms, causes)
        self._report(sorted(errors, key=lambda error: error.row), len(atoms))
        rows = np.setdiff1d(np.flatnonzero(atoms.counts()), list(causes))
        cache = RecordCache(self.memory)
        found = self._embed(backbone, atoms, rows, cache)
        cache.warn(stacklevel=3)  # the caller of transform, past scikit-learn's wrapper
        if self.level == "structure":
            values = np.full((len(atoms), self.n_features_out_), np.nan)
            values[rows] = np.reshape([found[row] for row in rows], (-1, self.n_features_out_))
            return self._as_frame(values, X)
        values = np.concatenate([np.empty((0, self.n_features_out_)), *(found[r] for r in rows)])
        counts = atoms.counts()[rows]
        places = [np.repeat(rows, counts), np.concatenate([rows[:0], *map(np.arange, counts)])]
        index = pd.MultiIndex.from_arrays(places, names=["structure", "atom"])
        return pd.DataFrame(values, columns=self._feature_names(), index=index)

    def _embed(self, backbone, atoms, rows, cache):
        """Descriptors by row, from the cache or made batch by batch."""
        weights = ""
        if self.memory is not None:
            weights = record_key(*(v.cpu().numpy() for v in backbone.state_dict().values()))
        keys = {row: self._key(atoms, row, weights) for row in rows.tolist()}
        found = {row: record["values"] for row, key in keys.items() if (record := cache.get(key))}
        missing = np.setdiff1d(rows, list(found)).astype(np.int64)
        parts = chunked(atoms.take(missing), _BATCH_ATOMS) if len(missing) else []
        run = _runner(backbone, self.device)
        for part in tqdm(parts, desc="embedding", unit="batches", disable=not self.verbose):
            own = missing[part]
            for row, values in zip(own.tolist(), run(atoms.take(own)), strict=True):
                if self.level == "structure":
                    values = np.stack([of(values, axis=0) for of in _STATISTICS.values()])
                found[row] = values
                cache.put(keys[row], {"values": values})
        return found

    def _key(self, atoms, row, weights):
        own = slice(*atoms.offsets["atom"][row : row + 2])
        arrays = (
            atoms.atomic_numbers[own],
            atoms.lattices[row],
            atoms.positions[own],
            atoms.pbc[row],
        )
        return structure_key(f"potential embedding 1 {self.level}", weights, *arrays)

    def _feature_names(self):
        kinds = [f" {name}" for name in _STATISTICS] if self.level == "structure" else [""]
        return [f"{self.prefix_}{kind} {i}" for kind in kinds for i in range(self.width_)]

    def _prepare(self):
        """Find the potential, and how many descriptors it has of an atom."""
        from trisk.nn import POTENTIALS

        backbone = self._backbone()
        self.width_, name = backbone.out_features, getattr(backbone, "weights", None)
        kind = type(backbone).__name__.removesuffix("Potential")
        self.prefix_ = name if name in POTENTIALS else kind

    def _backbone(self):
        from trisk.nn import as_backbone

        if hasattr(self.potential, "nets_"):
            return self.potential.net_.module_.encoder.interaction
        return as_backbone(self.potential)

    def __getstate__(self):
        """A potential of another package is stored as its weights, not as an object or a path."""
        from trisk.nn import POTENTIALS

        state = dict(super().__getstate__())
        if self.potential not in POTENTIALS and not hasattr(self.potential, "fit"):
            state["potential"] = self._backbone()
        return state


def _unknown_elements(backbone, atoms):
    """What is wrong with structures whose elements the potential does not know, by row."""
    known = getattr(backbone, "elements", atoms.atomic_numbers)
    new = np.flatnonzero(~np.isin(atoms.atomic_numbers, known))
    rows = atoms.rows()[new].tolist()
    return {
        row: f"the potential does not know the element {ELEMENT_SYMBOLS[number - 1]}"
        for row, number in zip(rows, atoms.atomic_numbers[new].tolist(), strict=True)
    }


def _runner(backbone, device):
    """A function that gives the scalars of the atoms of each structure, in one batch."""
    import torch

    from trisk.nn import to_batch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float64 if torch.device(device).type == "cpu" else torch.float32
    network = copy.deepcopy(backbone).to(device, dtype).eval()

    def run(atoms):
        graphs = with_bonds(atoms, search(atoms, backbone.cutoff))
        with torch.no_grad():
            scalars = network(to_batch(graphs, device, dtype))[0].cpu().numpy()
        return np.split(scalars, graphs.offsets["atom"][1:-1])

    return run
