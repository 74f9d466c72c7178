"""A sheet of crystals and their neighbours by stream, for retrieval.py."""

import matplotlib.pyplot as plt
import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from trisk import StructureRetriever

#: Queries: formulas of the phonon collection, of different families and prototypes.
QUERIES = ("ZnS", "CaF2", "KZnF3", "YNiSb", "LiYS2")
STREAMS = ("composition", "structure", "interaction")
N_SHOWN = 3
_VIEW = np.radians([-75.0, 12.0])  # tilt and turn of the axes


def draw(crystals, table, path):
    """Draw queries in rows, neighbours in columns by stream.

    Parameters
    ----------
    crystals : DataFrame
        Crystals with formulas and prototypes.
    table : DataFrame
        Their embeddings by stream.
    path : Path
        PNG file to write.
    """
    formulas = crystals["formula"].tolist()
    queries = [formulas.index(formula) for formula in QUERIES]
    widths = [1.0] + ([0.15] + [1.0] * N_SHOWN) * len(STREAMS)
    figure, axes = plt.subplots(
        1 + len(queries), len(widths), figsize=(1.4 * len(widths), 1.95 * len(queries)),
        width_ratios=widths, height_ratios=[0.12] + [1.0] * len(queries), layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    _head(axes[0, 0], "query")
    for row, query in enumerate(queries, 1):
        _show(axes[row, 0], crystals.iloc[query])
    for place, stream in enumerate(STREAMS):
        first = 2 + place * (N_SHOWN + 1)
        _head(axes[0, first + N_SHOWN // 2], f"nearest by {stream}")
        retriever = StructureRetriever(pretrainer=None, streams=stream).fit(table)
        found = retriever.kneighbors(table.iloc[queries], N_SHOWN + 1, return_distance=False)
        for row, (query, indices) in enumerate(zip(queries, found, strict=True), 1):
            others = [index for index in indices if index != query][:N_SHOWN]
            for column, index in enumerate(others, first):
                _show(axes[row, column], crystals.iloc[index], crystals.iloc[query])
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _head(ax, text):
    ax.text(0.5, 0, text, ha="center", fontsize=12, fontweight="bold").set_in_layout(False)


def _show(ax, crystal, query=None):
    """One crystal, its formula and space group, bold where they agree with the query's."""
    _draw_atoms(ax, crystal["structure"])
    pattern, group, *_ = crystal["prototype"].split()
    same_elements = query is not None and crystal["system"] == query["system"]
    same_prototype = query is not None and crystal["prototype"] == query["prototype"]
    ax.set_title(
        crystal["formula"], fontsize=10, pad=11, fontweight="bold" if same_elements else "normal"
    )
    ax.text(
        0.5, 1.0, f"{pattern}, no. {group}", transform=ax.transAxes, ha="center", va="bottom",
        fontsize=7.5, color="C0" if same_prototype else "0.45",
        fontweight="bold" if same_prototype else "normal",
    )  # fmt: skip


def _draw_atoms(ax, structure):
    """Atoms of the conventional cell and of its faces, and the cell's edges."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    cell = SpacegroupAnalyzer(structure, symprec=0.01).get_conventional_standard_structure()
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    sites, numbers = [], []
    for site in cell:
        base = np.mod(site.frac_coords + 1e-6, 1) - 1e-6
        images = base + corners
        images = images[(images < 1 + 1e-4).all(axis=1)]
        sites.append(images)
        numbers += [site.specie.Z] * len(images)
    points = _project(np.concatenate(sites) @ cell.lattice.matrix)
    ends = _project(corners @ cell.lattice.matrix)
    for a in range(8):
        for b in range(a):
            if np.abs(corners[a] - corners[b]).sum() == 1:
                ax.plot(*ends[[a, b], :2].T, color="0.7", lw=0.7, zorder=-100)
    order = np.argsort(points[:, 2])
    extent = np.ptp(ends[:, :2], axis=0).max()
    radii = covalent_radii[numbers] * 0.55
    for rank, atom in enumerate(order):
        ax.add_patch(
            plt.Circle(
                points[atom, :2], radii[atom], facecolor=jmol_colors[numbers[atom]],
                edgecolor="0.2", lw=0.4, zorder=rank,
            )
        )  # fmt: skip
    center = ends[:, :2].mean(axis=0)
    reach = extent / 2 + radii.max()
    ax.set(
        xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] - reach, center[1] + reach),
        aspect="equal",
    )  # fmt: skip


def _project(points):
    """Turn about z, then tilt about x; columns right, up, towards the viewer."""
    tilt, turn = _VIEW
    c, s = np.cos(turn), np.sin(turn)
    points = points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    c, s = np.cos(tilt), np.sin(tilt)
    return points @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
