"""Reading structures: every kind alike, nothing runs code, bounds, one bad row spoils no batch."""

import bz2
import gzip
import json
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.db import connect as open_database
from ase.io import write
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from trisk.structures import StructureError, connect, read_structures
from trisk.structures.readers import describe_structure

NITRIDE = Structure(
    Lattice.from_parameters(4.1, 5.2, 6.3, 80, 95, 100),
    ["Ga", "Ga", "N", "N"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.25, 0.27, 0.3], [0.7, 0.72, 0.8]],
)
CIF = str(CifWriter(NITRIDE))


def read_one(value, **options):
    structures, _ = read_structures([value], **options)
    return structures


def cause_of(value):
    """Why a value is refused; the rows beside it are read."""
    structures, errors = read_structures([NITRIDE, value, NITRIDE], on_error="nan")
    assert structures.counts().tolist() == [4, 0, 4]
    assert [error.row for error in errors] == [1]
    return errors[0].cause


def poscar(**replaced):
    """A POSCAR of NITRIDE, line by line."""
    lines = {
        "comment": "Ga2 N2",
        "scale": "1.0",
        "lattice": "\n".join(" ".join(map(repr, row)) for row in NITRIDE.lattice.matrix.tolist()),
        "symbols": "Ga N",
        "counts": "2 2",
        "mode": "Direct",
        "points": "\n".join(" ".join(map(repr, row)) for row in NITRIDE.frac_coords.tolist()),
    }
    return "\n".join((lines | replaced).values()) + "\n"


def write_kinds(folder):
    """NITRIDE in every form that is read."""
    atoms = AseAtomsAdaptor.get_atoms(NITRIDE, msonable=False)
    database = open_database(folder / "crystals.db")
    database.write(atoms)
    texts = {
        "a.cif": CIF,
        "b.json": json.dumps(NITRIDE.as_dict()),
        "POSCAR": poscar(),
        "c.vasp": poscar(symbols="Ga_d/0af3 N", mode="Selective dynamics\nDirect"),
        "d.POSCAR": poscar(
            scale=repr(-NITRIDE.volume),
            mode="Cartesian",
            points="\n".join(
                " ".join(map(repr, row)) + " T T F" for row in NITRIDE.cart_coords.tolist()
            ),
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    write(folder / "e.extxyz", atoms, format="extxyz")
    write(folder / "f.xyz", atoms, format="extxyz")
    (folder / "g.cif.gz").write_bytes(gzip.compress(CIF.encode()))
    (folder / "POSCAR.bz2").write_bytes(bz2.compress(poscar().encode()))
    return [
        NITRIDE,
        NITRIDE.copy().add_oxidation_state_by_element({"Ga": 3, "N": -3}),
        NITRIDE.as_dict(),
        json.dumps(NITRIDE.as_dict()),
        atoms,
        *database.select(),
        CIF,
        folder / "a.cif",
        *(str(folder / name) for name in texts),
        str(folder / "e.extxyz"),
        folder / "f.xyz",
        folder / "g.cif.gz",
        folder / "POSCAR.bz2",
    ]


def test_every_kind__gives_the_same_structure(tmp_path):
    values = write_kinds(tmp_path)
    structures, errors = read_structures(values)
    assert errors == []
    for row in range(len(values)):
        one = structures[row]
        order = np.argsort(one.atomic_numbers, kind="stable")[::-1]
        assert one.atomic_numbers[order].tolist() == [31, 31, 7, 7]
        assert one.pbc.all()
        found = np.linalg.norm(one.lattices[0], axis=1)
        np.testing.assert_allclose(found, NITRIDE.lattice.abc, atol=1e-4)
        expected = connect([NITRIDE], 4.0)
        np.testing.assert_allclose(
            np.sort(connect(one, 4.0).bond_lengths), np.sort(expected.bond_lengths), atol=1e-4
        )
    assert read_structures(iter(values))[0].counts().tolist() == [4] * len(values)
    two = read_structures(values, n_jobs=2)[0]
    np.testing.assert_array_equal(two.positions, structures.positions)


def test_progress__over_files__only_when_asked_for(tmp_path, capsys):
    values = write_kinds(tmp_path)
    read_structures(values)
    assert capsys.readouterr().err == ""
    read_structures(values, verbose=1)
    assert "structure files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("group", "lattice", "species", "points"),
    [
        ("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        ("Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]),
        ("P3_121", Lattice.hexagonal(4.913, 5.405), ["Si", "O"],
         [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.2144]]),
        ("P2_1/c", Lattice.monoclinic(5.1, 5.2, 5.3, 99), ["Zr", "O", "O"],
         [[0.28, 0.04, 0.21], [0.07, 0.33, 0.34], [0.45, 0.76, 0.48]]),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # of spglib
def test_cif__symmetry_operations_or_name__give_the_whole_cell(group, lattice, species, points):
    crystal = Structure.from_spacegroup(group, lattice, species, points)
    expected = connect([crystal], 4.0)
    with_operations = str(CifWriter(crystal, symprec=1e-3))
    by_name = [
        line for line in with_operations.splitlines()
        if "_symmetry_equiv" not in line and not line.strip()[:1].isdigit()
    ]  # fmt: skip
    text = "\n".join(by_name).replace("loop_\nloop_", "loop_")
    assert len(text) < len(with_operations)
    for value in (with_operations, text):
        found = connect([value], 4.0)
        assert found.counts().tolist() == [len(crystal)]
        np.testing.assert_allclose(
            np.sort(found.bond_lengths), np.sort(expected.bond_lengths), atol=2e-4
        )


def test_molecules_slabs_wires__keep_their_boundaries():
    water, sheet = molecule("H2O"), graphene()
    sheet.cell[2] = 0
    wire = Atoms("C", cell=[0, 0, 1.3], pbc=[False, False, True])
    values = [water, Molecule.from_sites(Molecule(water.symbols, water.positions).sites)]
    values += [values[1].as_dict(), sheet, wire, bulk("Cu")]
    graphs = connect(values, 1.6)
    assert graphs.pbc.sum(axis=1).tolist() == [0, 0, 0, 2, 1, 3]
    assert graphs.counts("bond").tolist() == [6, 6, 6, 6, 2, 0]
    assert (np.linalg.det(graphs.lattices) != 0).all()
    far = water.copy()
    far.positions += [1e5, -3e4, 2e7]
    np.testing.assert_allclose(connect([far], 1.6).bond_lengths, graphs[0].bond_lengths, atol=1e-6)


@pytest.mark.parametrize("place", ["sites", "lattice", "properties", "species"])
def test_dicts_and_json__run_no_code(tmp_path, monkeypatch, place):
    (tmp_path / "beside_the_data.py").write_text("raise SystemExit('code ran')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    trap = {"@module": "beside_the_data", "@class": "X", "@version": "1"}
    content = NITRIDE.as_dict()
    if place == "sites":
        content["sites"][0]["properties"] = {"magmom": trap}
    elif place == "species":
        content["sites"][0]["species"][0]["properties"] = trap
    else:
        content[place] = {**content[place], **trap, "x": trap}
    path = tmp_path / "crystal.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    structures, _ = read_structures([content, json.dumps(content), path])
    assert structures.counts().tolist() == [4, 4, 4]
    assert "beside_the_data" not in sys.modules
    for trapped in ({**content, "sites": trap}, {**content, "sites": [trap]}, trap):
        cause_of(trapped)
    assert "beside_the_data" not in sys.modules


def with_operations(n_operations, n_atoms=1):
    operations = "\n".join(
        f"{i} 'x+{i / 7e3:.5f}, y, z+{i / 9e3:.5f}'" for i in range(n_operations)
    )
    atoms = "\n".join(f"H H{i} 1 {i / 9e3:.5f} 0.1 {i / 7e3:.5f} 1" for i in range(n_atoms))
    start = CIF.index("  Ga  Ga0")
    text = CIF[:start].replace("  1  'x, y, z'", operations) + atoms + "\n"
    return "\n".join(line for line in text.splitlines() if "_formula_" not in line)


TOO_MUCH = {
    "symmetry operations": (with_operations(1000), "holds 1000 operations"),
    "atoms of a CIF": (with_operations(1, 5001), "more than 5000 atoms"),
    "positions": (with_operations(192, 2000), "more than 200000 positions"),
    "counts": (poscar(counts="100000000 2"), "100000002 atoms"),
    "counts with underscores": (poscar(counts="1_000_000_000 2"), "0 are counted"),
    "counts on more lines": (poscar(counts="2\n900000000"), "900000002 atoms"),
    "empty lines": ("data_x\n" + 300_000 * "\n" + CIF.partition("\n")[2], None),
    "quotation marks": (CIF + "_x " + 1000 * " 'a", "more than"),
    "a field of a CIF": (CIF.replace("'P 1'", f"\n;{'x ' * 5000}\n;"), "characters"),
    "atoms of an XYZ": ("1000000000\n\nH 0 0 0\n", "not one structure"),
    "brackets": ('{"sites": ' + 10**6 * "[", "RecursionError"),
    "text": ("{" + 10_000_001 * " ", "more than 10 million characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much__is_refused_in_little_time(name, tmp_path):
    text, cause = TOO_MUCH[name]
    value, path = text, None
    if text.startswith("Ga2 N2"):
        path = tmp_path / "POSCAR"
    elif text.startswith("1000000000"):
        path = tmp_path / "a.xyz"
    if path is not None:
        path.write_text(text, encoding="utf-8")
        value = path
    started = time.process_time()
    if cause is None:
        assert read_one(value).counts().tolist() == [4]
    else:
        assert cause in cause_of(value)
    assert time.process_time() - started < 10


def test_compressed_file__is_read_up_to_a_bound(tmp_path):
    path = tmp_path / "bomb.cif.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(200):
            file.write(b" " * 1_000_000)
    assert "more than 10 million characters" in cause_of(path)


def crowd(n_atoms, edge):
    positions = np.random.default_rng(0).random((n_atoms, 3)) * edge
    return Atoms(f"H{n_atoms}", positions=positions, cell=[100, 100, 100], pbc=True)


UNUSABLE = {
    "coincident atoms": (Atoms("HO", [[1, 1, 1], [1, 1, 1]], cell=[3] * 3, pbc=True),
                         "atoms 0 and 1 are 0 Å apart"),
    "across the border": (Atoms("HO", [[1, 1, 0.1], [1, 1, 2.9]], cell=[3] * 3, pbc=True),
                          "atoms 0 and 1 are 0.2 Å apart"),
    "a corner full of atoms": (crowd(3000, 3.0), "3000 atoms, among them atom 0, lie in a cube"),
    "not finite": (Atoms("H", [[0, np.inf, 0]], cell=[3] * 3, pbc=True),
                   "coordinates of atom 0 are not finite"),
    "singular lattice": (Atoms("H", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True),
                         "span no volume"),
    "no atoms": (Atoms(cell=[3] * 3, pbc=True), "it has no atoms"),
    "300 characters": ("x" * 300, "there is no such file"),
    "JSON of something else": ("{}", 'no "lattice" and "sites"'),
    "JSON that ends early": (json.dumps(NITRIDE.as_dict())[:-20], "cannot be read"),
    "unknown user": ("~nobody_of_this_name/x", "there is no such file"),
    "null character": ("a\0b.cif", "there is no such file"),
    "folder": (".", "there is no such file"),
    "deuterium": (NITRIDE.copy().replace_species({"N": "D"}), "site 2 is D; write H"),
    "vasp 4": (poscar(symbols="2 2"), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable__is_refused_with_its_cause_and_spoils_no_other_row(name):
    value, cause = UNUSABLE[name]
    assert cause in cause_of(value)
    with pytest.raises(StructureError, match=r"1 of 2 structures cannot be used:\n  row 1: "):
        read_structures([NITRIDE, value])


def test_file_with_another_format__says_which_are_read(tmp_path):
    for name in ("a.yaml", "b.pdb", "c.xml", "d.mcif"):
        (tmp_path / name).write_text("x: 1\n", encoding="utf-8")
        assert "none of the formats CIF" in cause_of(tmp_path / name)


def test_occupancy_that_is_no_table__is_ignored():
    atoms = bulk("Cu")
    atoms.info["occupancy"] = 1.0
    assert read_one(atoms).counts().tolist() == [1]


def test_truncated_cif__is_refused_and_not_another_compound():
    lines = CIF.rstrip().splitlines()
    cause = cause_of("\n".join(lines[:-1]))
    assert "its atoms are N Ga2, but it states the formula Ga2 N2" in cause
    silicon = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.43), ["Si"], [[0, 0, 0]])
    lines = str(CifWriter(silicon)).rstrip().splitlines()
    assert "its atoms are Si7" in cause_of("\n".join(lines[:-1]))
    # Whole formulas that are missing, by their number in the cell.
    whole = CIF.replace("'Ga2 N2'", "'Ga N'")
    assert read_one(whole).counts().tolist() == [4]
    part = whole.rstrip().splitlines()
    assert "its atoms are N Ga" in cause_of("\n".join([*part[:-3], part[-2]]))
    structural = CIF.replace("'Ga2 N2'", "?").rstrip().splitlines()
    assert "states the formula GaN" in cause_of("\n".join(structural[:-1]))
    without_formula = [line for line in lines[:-1] if "_formula_" not in line]
    assert read_one("\n".join(without_formula)).counts().tolist() == [7]


def test_cif_of_two_crystals__is_refused():
    text = Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]]).to(fmt="cif")
    with pytest.raises(StructureError, match="it holds 2 crystals"):
        read_structures([text + text.replace("data_Cu", "data_other")])


def test_poscar__scales_each_direction(tmp_path):
    (tmp_path / "POSCAR").write_text("Cu\n1 1.0 2.\n3 0 0\n0 3 0\n0 0 3\nCu\n1\nC\n0 0 1\n")
    atoms, _ = read_structures([tmp_path / "POSCAR"])
    np.testing.assert_array_equal(atoms.lattices[0], np.diag([3, 3, 6]))
    np.testing.assert_array_equal(atoms.positions[0], [0, 0, 2])


def test_magnetic_cif__is_refused():
    text = CIF + "_space_group_magn.transform_BNS_Pp_abc 'a,b,c;0,0,0'\n"
    assert "magnetic and modulated" in cause_of(text)


def test_min_distance__is_the_callers():
    dimer = Atoms("Si2", [[0, 0, 0], [0, 0, 0.1]])
    assert connect([dimer], 3.0, min_distance=0.05).counts("bond").tolist() == [2]
    with pytest.raises(StructureError, match=r"row 0: 'Si2': atoms 0 and 1 are 0.1 Å apart"):
        connect([dimer], 3.0)


def test_many_errors__are_counted():
    with pytest.raises(StructureError, match=r"9 of 9 structures.*\n(.*\n){5}  and 4 more"):
        read_structures([None] * 9)


def test_single_structure__says_to_put_it_into_a_list():
    for value in (NITRIDE, bulk("Cu"), NITRIDE.as_dict(), CIF):
        with pytest.raises(ValueError, match=r"collection of structures.*put it into a list"):
            read_structures(value)


def test_description__is_short_and_tells_files_apart():
    long = "/data/" + 20 * "folder/" + "crystal_17.cif"
    assert describe_structure(long).endswith("crystal_17.cif")
    for value in (long, CIF, json.dumps(NITRIDE.as_dict()), object()):
        assert len(describe_structure(value)) <= 80
