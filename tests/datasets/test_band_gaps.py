import re

import pandas as pd
import pytest
from pymatgen.core import Composition

from trisk.data import data_file
from trisk.datasets import load_band_gaps, load_matbench


@pytest.fixture(scope="module")
def table():
    return load_band_gaps(as_frame=True)


def reduced(formula):
    return Composition(formula).reduced_formula


def test_load_band_gaps__default__formulas_and_gaps(table):
    X, y = load_band_gaps()
    assert X.name == "composition"
    assert y.name == "band gap"
    assert y.attrs == {"quantity": "band gap", "unit": "eV"}
    assert X.index.equals(y.index)
    assert X.tolist() == table["formula"].tolist()
    assert y.tolist() == table["band_gap"].tolist()


def test_band_gaps__size_range_and_chemistry__as_promised(table):
    assert len(table) >= 150
    assert table["band_gap"].between(0, 15).all()
    assert 20 <= (table["band_gap"] == 0).sum() <= 60
    elements = {element for formula in table["formula"] for element in Composition(formula)}
    assert len(elements) >= 70


def test_band_gaps__formulas__parse_and_occur_once(table):
    keys = table["formula"].map(reduced)
    assert not keys.duplicated().any()
    assert all(Composition(formula).valid for formula in table["formula"])


def test_band_gaps__columns__hold_what_the_readme_says(table):
    assert table.columns.tolist() == [
        *("formula", "band_gap", "temperature", "transition", "polymorph", "source", "note")
    ]
    assert set(table["transition"]) == {"direct", "indirect", ""}
    assert table["temperature"].dropna().between(0, 300).all()
    assert not table.drop(columns="temperature").isna().any(axis=None)
    assert table["formula"].is_monotonic_increasing


def test_band_gaps__every_source__is_spelled_out_in_the_readme(table):
    readme = data_file("band_gaps.md").read_text(encoding="utf-8")
    listed = set()
    for line in re.findall(r"^- ([^:]+):", readme, flags=re.MULTILINE):
        author, years = line.rsplit(" ", 1)[0], re.findall(r"\d{4}", line)
        author = re.sub(r" \d{4}.*", "", author)
        listed |= {f"{author} {year}" for year in years}
    assert set(table["source"]) == listed


@pytest.mark.parametrize(
    ("formula", "gap"),
    [("Si", 1.12), ("Ge", 0.66), ("GaAs", 1.42), ("ZnO", 3.37), ("CdTe", 1.5), ("NaCl", 8.5)],
)
def test_band_gaps__textbook_values(table, formula, gap):
    assert table.set_index("formula").loc[formula, "band_gap"] == gap


def test_band_gaps__against_matbench_expt_gap__every_large_difference_is_explained(
    table, matbench_dir
):
    X, y = load_matbench("expt_gap")
    theirs = pd.Series(y.to_numpy(), index=X.map(reduced))
    assert theirs.index.is_unique
    both = table.set_index(table["formula"].map(reduced)).join(theirs.rename("theirs"), how="inner")
    assert len(both) > 100
    # Rounding in binary must not decide over a difference of exactly 0.3.
    large = both[(both["band_gap"] - both["theirs"]).abs() > 0.3 - 1e-9]
    for formula, row in large.iterrows():
        told = re.match(r"matbench_expt_gap has ([\d.]+): \w+", row["note"])
        assert told, f"{formula}: {row['band_gap']} here, {row['theirs']} there, and no note"
        assert float(told[1]) == row["theirs"]
    unlike = both[both["note"].str.startswith("matbench_expt_gap")]
    assert set(unlike.index) == set(large.index), "a note about a difference that is not there"
