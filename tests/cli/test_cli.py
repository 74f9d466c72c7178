"""The command line as a user types it."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from short import shorten

from trisk.cli import main
from trisk.cli._files import CommandError, read_table, rounded
from trisk.cli._fit import read as read_data
from trisk.cli._main import _EXAMPLES, _PRESETS, _parser
from trisk.datasets import load_band_gaps
from trisk.testing import make_structures

FIT = ["--formula", "composition", "--target", "band gap", "--unit", "eV", "--quiet"]
TINY = ["--members", "2", "--epochs", "3"]
#: No choice of columns, no stacked forest, no inner folds: for what does not depend on them.
FAST = ["--preset", "general", "--fast", *TINY]


@pytest.fixture(scope="module", autouse=True)
def short():
    """Trainings are short, also of the forests beside."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch.setattr)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, and a model that was fitted and validated."""
    folder = tmp_path_factory.mktemp("cli")
    X, y = (values[:60] for values in load_band_gaps())
    table = pd.DataFrame({"composition": X, "band gap": y, "insulating": y > 1})
    table.to_csv(folder / "gaps.csv", index=False)
    pd.DataFrame({"alloy": ["GaAs", "CdS0.5Se0.5"]}).to_csv(folder / "new.csv", index=False)
    # Calibrated, so that there is a standard deviation.
    arguments = [*FIT, *TINY, "--preset", "general", "--no-stacking", "--no-pretraining"]
    arguments += ["--cv", "3", "--out", str(folder / "model")]
    assert main(["fit", str(folder / "gaps.csv"), *arguments]) == 0
    return folder


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_fit__folder_holds_model_scores_and_plots(folder):
    names = {path.name for path in (folder / "model").iterdir()}
    assert names >= {"model.trisk", "model.json", "folds.csv", "predictions.csv", "parity.png"}
    facts = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    assert facts["n_rows"] == 60
    assert facts["parameters"]["n_members"] == 2
    folds = pd.read_csv(folder / "model" / "folds.csv", float_precision="round_trip")
    assert folds["mae"].tolist() == facts["scores"]["mae"]
    assert folds["n_test"].sum() == 60


def test_predict__adds_columns_to_the_table(folder, capsys):
    code, out, _ = run(
        capsys, "predict", folder / "model", folder / "new.csv", "--formula", "alloy"
    )
    assert code == 0
    table = pd.read_csv(io.StringIO(out))
    assert list(table) == ["alloy", "predicted band gap", "standard deviation"]
    import trisk

    model = trisk.load(folder / "model" / "model.trisk")
    expected = model.predict(table["alloy"])
    np.testing.assert_allclose(table["predicted band gap"], expected, rtol=0.01)
    # As many digits as the spread has meaning.
    assert table.map(lambda v: len(str(v)) < 12).all(axis=None)


def test_predict__bad_rows__named_or_left_empty(folder, capsys, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("composition\nGaAs\nnonsense!\n,\n", encoding="utf-8")
    path.write_text("composition,note\nGaAs,a\nnonsense!,b\n,c\n", encoding="utf-8")
    code, _, err = run(capsys, "predict", folder / "model", path)
    assert code == 1
    assert "2 of 3 rows cannot be used" in err
    assert "line 3: 'nonsense!' is no formula" in err
    assert "line 4: has no formula" in err
    assert "--skip-bad-rows" in err
    out = tmp_path / "out.csv"
    code, _, _ = run(capsys, "predict", folder / "model", path, "--skip-bad-rows", "--out", out)
    assert code == 0
    assert pd.read_csv(out)["predicted band gap"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("f,y\n\nFe2O3,1\nNaCl,2\n\nXx2,1\n", [], "line 6: 'Xx2' is no formula"),
        ('f,note,y\nNaCl,"a\nb",2\nXx,c,3\n', ["--target", "y"], "line 4: 'Xx' is no formula"),
        ("f,T,y\nNaCl,300,1\nKCl,400,2\nMgO,n/a,3\n", ["--process", "T"], "line 4: 'n/a' in 'T'"),
        ("f,y,y\nNaCl,1,2\nKCl,2,1\n", ["--target", "y"], "has several columns 'y'"),
        ("f,y\nNaCl,1\nKCl,2\n", ["--process", "y", "--target", "y"], "or the target"),
        ("f,y\nNaCl,1\nKCl,2\n", ["--targets", "t.csv"], "goes with a folder"),
        ("file,y\n,1\na.cif,2\n", ["--structure", "file"], "line 2: has no structure"),
        ('file,y\n"{""a"": 1}",1\nb,2\n', ["--structure", "file"], "line 2: "),
    ],
)
def test_fit__what_is_wrong__is_named_by_line(tmp_path, monkeypatch, text, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(text)
    with pytest.raises(CommandError, match=message):
        read_rows("t.csv", *arguments)


def test_fit__bad_cell_of_the_process__is_a_row_to_skip(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("f,T,y\nNaCl,300,1\nKCl,n/a,2\nMgO,400,3\n")
    data = read_rows(path, "--process", "T", "--target", "y", "--skip-bad-rows")
    assert data.X["T"].tolist() == [300, 400]


def test_comma_in_a_name__separates_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("f;gap, eV\nNaCl;5\n")
    assert read_table(tmp_path / "t.csv").columns.tolist() == ["f", "gap, eV"]


def test_lines_before_the_header__are_counted_too(tmp_path):
    (tmp_path / "t.csv").write_text("\n\nf,y\nNaCl,1\n\nKCl,2\n")
    table = read_table(tmp_path / "t.csv")
    assert table.index.tolist() == [4, 6]
    assert table["f"].tolist() == ["NaCl", "KCl"]


def test_predictions__keep_their_digits_at_any_size():
    values = [1e-6, 3e-3, 120.0, 0.0, np.nan]
    np.testing.assert_array_equal(rounded(values), values)
    np.testing.assert_array_equal(rounded([1.2345e-6, 123.456], [1e-7, 30]), [1.23e-6, 123])


def test_folder__lists_what_the_reader_takes(tmp_path):
    for name in ("a.cif", "b.cif.bz2", "CONTCAR", "c.xyz.gz", "d.txt"):
        (tmp_path / name).touch()
    assert read_table(tmp_path)["file"].tolist() == ["CONTCAR", "a.cif", "b.cif.bz2", "c.xyz.gz"]


def test_fit__leave_chemical_systems_out(folder, capsys):
    out = folder / "systems"
    arguments = [*FIT, *FAST, "--leave-out", "chemical_system", "--out", out]
    code, text, _ = run(capsys, "fit", folder / "gaps.csv", *arguments)
    assert code == 0
    assert "test rows of another chemical system than training rows, mean ±" in text
    assert len(pd.read_csv(out / "folds.csv")) == 5


def test_fit__classes_and_trials(folder, capsys):
    arguments = ["--formula", "composition", "--target", "insulating", "--quiet", *FAST]
    out = folder / "classes"
    code, _, err = run(
        capsys, "fit", folder / "gaps.csv", *arguments, "--trials", "2", "--out", out
    )
    assert code == 0
    assert "chosen: model__" in err
    assert len(pd.read_csv(out / "trials.csv")) == 2
    code, text, _ = run(capsys, "predict", out, folder / "gaps.csv")
    table = pd.read_csv(io.StringIO(text))
    assert set(table["predicted insulating"]) <= {True, False}
    total = table["probability False"] + table["probability True"]
    np.testing.assert_allclose(total, 1, atol=2e-4)
    code, _, _ = run(capsys, "report", out, "--out", folder / "classes.html")
    page = (folder / "classes.html").read_text(encoding="utf-8")
    assert code == 0
    assert "2 trials: 2 complete" in page
    assert "classes" in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--preset": "alloy"}, "'auto', 'band_gap'"),
        ({"--formula": "formula"}, "has no column 'formula'. Its columns are 'composition'"),
        ({"--target": "band gop"}, "Did you mean 'band gap'"),
        ({"--preset": "alloys"}, "There is no preset 'alloys'; there are"),
        ({"table": "absent.csv"}, "There is no file 'absent.csv'"),
    ],
)
def test_fit__mistakes__exit_1_and_say_what_to_do(folder, capsys, tmp_path, changes, message):
    options = {"--formula": "composition", "--target": "band gap", "--out": str(tmp_path / "m")}
    options |= changes
    table = options.pop("table", folder / "gaps.csv")
    code, out, err = run(capsys, "fit", table, *(word for pair in options.items() for word in pair))
    assert code == 1
    assert out == ""
    assert message in err


@pytest.mark.filterwarnings("ignore:calibrate=True does nothing for 3 rows")
def test_fit__bad_targets__are_named(folder, capsys, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("f,t\nGaAs,1.4\nInP,\nZnO,high\nCdS,2.4\nSi,1.1\n", encoding="utf-8")
    arguments = ["--formula", "f", "--target", "t", "--out", tmp_path / "m", "--quiet", *TINY]
    code, _, err = run(capsys, "fit", path, *arguments)
    assert code == 1
    assert "line 3: has no 't'" in err
    assert "line 4: 'high' in 't' is no finite number" in err
    code, _, err = run(capsys, "fit", path, *arguments, "--skip-bad-rows")
    assert code == 0
    assert "skipped: 2 of 5 rows" in err


def test_fit__folder_with_a_model__is_kept(folder, capsys):
    code, _, err = run(capsys, "fit", folder / "gaps.csv", *FIT, "--out", folder / "model")
    assert code == 1
    assert "--overwrite" in err


def read(path, *arguments):
    """Targets and whether they are classes, as `trisk fit` reads a table."""
    data = read_rows(path, "--formula", "f", "--target", "t", *arguments)
    assert data.X.tolist()[:2] == ["GaAs", "InP"]
    return data.y, data.classification


def read_rows(path, *arguments):
    return read_data(_parser().parse_args(["fit", str(path), "--out", "m", *arguments]))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('f,t\nGaAs,"1,424"\nInP,"0,942"\nSi,"1,1"\n', "utf-8"),
        ("f;t\nGaAs;1,424\nInP;0,942\nSi;1,1\n", "utf-8"),
        ("f\tt\tnote\nGaAs\t1.424\t\nInP\t0.942\t\nSi\t1.1\t\n", "utf-8"),
        ("f;t;µ\nGaAs;1.424;é\nInP;0.942;\nSi;1.1;\n", "latin-1"),
        ("f,t\nGaAs,1.424\nInP,0.942\nSi,1.1\n", "utf-8-sig"),
        ("f\tt\nGaAs\t1.424\nInP\t0.942\nSi\t1.1\n", "utf-16"),
    ],
)
def test_fit__other_separators_decimal_commas_and_encodings__are_read(tmp_path, text, encoding):
    (tmp_path / "t.csv").write_text(text, encoding=encoding)
    y, classification = read(tmp_path / "t.csv")
    assert y.tolist() == [1.424, 0.942, 1.1]
    assert not classification


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1,424", "2,350", "3,100"], "Column 't' holds '1,424' .* decimals or thousands"),
        (["1.424,5", "2.350,1", "3.100,0"], "Column 't' holds '1.424,5' and the like, which"),
        (["1 424", "2 350", "12 %"], "Column 't' holds '1 424' and the like, which are no numbers"),
        (["1.4 eV", "0.9 eV", "1.4 eV"], "Column 't' holds '1.4 eV' and the like, which are no"),
        (["1.4eV", "0.9eV", "1.1eV"], "Column 't' holds 3 different texts in 3 rows"),
    ],
)
def test_fit__numbers_of_other_notations__are_no_classes(tmp_path, values, message):
    path = tmp_path / "t.csv"
    pd.DataFrame({"f": ["GaAs", "InP", "Si"], "t": values}).to_csv(path, index=False)
    with pytest.raises(CommandError, match=message):
        read(path)
    if "thousands" not in message:
        assert read(path, "--classification")[0].tolist() == values


def test_fit__rows_longer_than_the_header__are_not_shifted(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("f,t\nGaAs,1.4,x\nInP,0.9,y\n")
    arguments = ["--formula", "f", "--target", "t", "--out", tmp_path / "m"]
    code, _, err = run(capsys, "fit", tmp_path / "t.csv", *arguments)
    assert code == 1
    assert "cannot be read as a table: Length of header" in err


def test_classes_that_look_like_nothing__survive(tmp_path, capsys):
    X, _ = load_band_gaps()
    words = ["None", "NA", "null", "01"] * 10
    path, model = tmp_path / "t.csv", tmp_path / "m"
    pd.DataFrame({"f": X[:40], "t": words}).to_csv(path, index=False)
    arguments = ["--formula", "f", "--target", "t", "--quiet", *TINY, "--cv", "2", "--out", model]
    assert run(capsys, "fit", path, *arguments)[0] == 0
    facts = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert facts["classes"] == ["01", "NA", "None", "null"]
    code, _, err = run(capsys, "report", model)
    assert (code, err) == (0, "")
    page = (model / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<td>(None|NA|null|01)</td>", page)
    code, out, _ = run(capsys, "predict", model, path)
    assert code == 0
    table = pd.read_csv(io.StringIO(out), dtype=str, keep_default_na=False)
    assert table["t"].tolist() == words
    assert set(table["predicted t"]) <= set(words)


def test_predict__never_overwrites_or_rewrites_a_column(folder, capsys, tmp_path):
    text = "composition,number,predicted band gap\nGaAs,007,mine\n"
    (tmp_path / "t.csv").write_text(text)
    code, out, err = run(capsys, "predict", folder / "model", tmp_path / "t.csv")
    assert (code, out) == (1, "")
    assert "has 'predicted band gap' already: rename" in err
    (tmp_path / "t.csv").write_text(text.replace("predicted band gap", "old"))
    code, out, _ = run(capsys, "predict", folder / "model", tmp_path / "t.csv")
    assert code == 0
    assert out.splitlines()[1].startswith("GaAs,007,mine,")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fit__overwrite__keeps_the_old_model_until_the_new_one_is_whole(
    folder, capsys, tmp_path, monkeypatch
):
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    (model / "notes.txt").write_text("mine")
    before = contents(model)
    arguments = [folder / "gaps.csv", *FIT, *FAST, "--overwrite", "--out", model]

    def fail(model, path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trisk.persistence.save", fail)
        code, _, err = run(capsys, "fit", *arguments)
    assert code == 1
    assert err == "trisk fit: [Errno 28] No space left on device\n"
    assert contents(model) == before
    assert run(capsys, "fit", *arguments)[0] == 0
    assert set(contents(model)) == {"model.json", "model.trisk", "notes.txt"}
    assert run(capsys, "predict", model, folder / "new.csv", "--formula", "alloy")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "{model}", "{new}", "--formula", "alloy", "--out", "{absent}/new.csv"],
        ["report", "{model}", "--out", "{absent}/report.html"],
    ],
)
def test_absent_folder_of_what_is_to_be_written__one_line(folder, capsys, tmp_path, arguments):
    paths = {"model": folder / "model", "new": folder / "new.csv", "absent": tmp_path / "none"}
    code, out, err = run(capsys, *(word.format(**paths) for word in arguments))
    assert (code, out) == (1, "")
    assert re.fullmatch(r"trisk \w+: There is no folder to write '.*none.*' in\.\n", err)


def test_fit__bad_device_and_seed__one_line(folder, capsys, tmp_path):
    arguments = [folder / "gaps.csv", *FIT, *TINY, "--out", tmp_path / "m"]
    for device in ("gpu", "cuda:99"):
        code, _, err = run(capsys, "fit", *arguments, "--device", device)
        assert code == 1
        assert re.fullmatch(rf"trisk fit: --device '{device}' cannot be used: .*\n", err)
    with pytest.raises(SystemExit) as caught:
        run(capsys, "fit", *arguments, "--seed", "-1")
    assert caught.value.code == 2
    assert "'-1' is not a whole number from 0 on" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"formula": 3}', "[" * 100_000])
@pytest.mark.parametrize("command", ["predict", "report"])
def test_damaged_facts__one_line(folder, capsys, tmp_path, text, command):
    shutil.copytree(folder / "model", tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text(text)
    table = [folder / "new.csv"] if command == "predict" else []
    code, _, err = run(capsys, command, tmp_path / "model", *table)
    assert code == 1
    assert re.fullmatch(rf"trisk {command}: '.*model.json' (is damaged|cannot be read): .*\n", err)


def test_report__damaged_tables_are_named_and_foreign_text_is_escaped(folder, capsys, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(folder / "model", model)
    script = "<script>alert(1)</script>"
    (model / "trials.csv").write_text(f"trial,score,state\n0,-0.5,{script}\n")
    assert run(capsys, "report", model)[0] == 0
    page = (model / "report.html").read_text(encoding="utf-8")
    assert "1 &lt;script&gt;" in page
    assert "<script" not in page
    (model / "trials.csv").write_text("trial,state\n0,complete\n")
    code, _, err = run(capsys, "report", model)
    assert code == 1
    assert "trials.csv' is damaged: it lacks score." in err


@pytest.mark.parametrize("command", ["predict", "report"])
def test_folder_without_model__says_how_to_make_one(folder, capsys, command):
    table = [folder / "new.csv"] if command == "predict" else []
    code, _, err = run(capsys, command, folder, *table)
    assert code == 1
    assert "holds no model. 'trisk fit" in err


def test_tampered_model__is_refused(folder, capsys, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(folder / "model", copy)
    content = bytearray((copy / "model.trisk").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.trisk").write_bytes(content)
    code, _, err = run(capsys, "predict", copy, folder / "gaps.csv")
    assert code == 1
    assert re.fullmatch(r"trisk predict: '.*model.trisk' (is truncated|cannot be loaded).*\n", err)


def test_report__one_page_with_everything_inside(folder, capsys):
    code, out, _ = run(capsys, "report", folder / "model")
    assert code == 0
    page = (folder / "model" / "report.html").read_text(encoding="utf-8")
    assert out.strip() == str(folder / "model" / "report.html")
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 3
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    for words in ("mean absolute error, eV", "Largest errors", "trisk predict", "3 shuffled folds"):
        assert words in page
    predictions = pd.read_csv(folder / "model" / "predictions.csv")
    worst = (predictions["y_true"] - predictions["y_pred"]).abs().idxmax()
    assert f"<td>{predictions.loc[worst, 'formula']}</td>" in page


def test_report__in_a_browser__shows_pictures_and_no_scroll_bar(folder, capsys, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium (Debian: apt-get install chromium)")
    run(capsys, "report", folder / "model", "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    script = """<script>addEventListener("load", () => {
      const loaded = [...document.images].filter(i => i.complete && i.naturalWidth > 300).length;
      const fits = document.documentElement.scrollWidth <= innerWidth;
      document.title = `${loaded} pictures, fits: ${fits}`; })</script>"""
    (tmp_path / "report.html").write_text(page.replace("</body>", script + "</body>"))
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,1200",
            "--virtual-time-budget=2000", "--dump-dom", f"file://{tmp_path / 'report.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    assert "<title>3 pictures, fits: true</title>" in done.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["fit"], ["fit", "a.csv", "--cv", "1"], ["predict", "m"], ["nonsense"]]
)
def test_wrong_usage__exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: trisk" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "predict", "report"])
def test_help__has_examples_that_parse(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert _EXAMPLES[command] in out
    assert "exit codes" in out
    import shlex

    for line in _EXAMPLES[command].splitlines()[1:]:
        words = shlex.split(line.partition(">")[0])
        assert words[0] == "trisk"
        assert _parser().parse_args(words[1:]).command == command


def test_interrupted__exits_with_130(monkeypatch, capsys, folder):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("trisk.cli._predict.run", interrupt)
    assert run(capsys, "predict", folder / "model", folder / "new.csv")[0] == 130


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "trisk", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert re.fullmatch(r"trisk \d+\.\d+\.\d+", done.stdout.strip())


def test_help__lists_every_preset(capsys):
    from trisk.featurizers.composition.presets import PRESETS

    for command in ("fit",):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert _PRESETS in capsys.readouterr().out
    assert {*PRESETS, "auto"} <= set(re.findall(r"\w+", _PRESETS))


def test_fit__forest_stands_beside_scores_and_equal_formulas_stay_together(tmp_path, capsys):
    X, y = (values[:30] for values in load_band_gaps())
    table = pd.DataFrame({"f": [*X, *X], "gap [eV]": [*y, *y]})
    table.to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "m"
    arguments = ["--target", "gap [eV]", "--quiet", *FAST, "--cv", "2", "--out", out]
    code, text, err = run(capsys, "fit", tmp_path / "t.csv", *arguments)
    assert code == 0
    assert "formulas: column 'f'" in err
    assert "rows of each of 30 distinct materials in one fold" in text
    assert re.search(r"mae +[\d.]+ ± [\d.]+ eV  \(forest [\d.]+ ± [\d.]+\)", text)
    facts = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert (facts["unit"], set(facts["forest"])) == ("eV", set(facts["scores"]))
    assert facts["parameters"]["stack_with"] is None
    assert run(capsys, "report", out)[0] == 0
    assert "of a forest" in (out / "report.html").read_text(encoding="utf-8")


def test_fit__zeros_and_ones_are_classes_unless_told_otherwise(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("f,t\nGaAs,0\nInP,1\nSi,1\n")
    assert read(tmp_path / "t.csv")[1]
    assert "zeros and ones: they are classes" in capsys.readouterr().err
    y, classification = read(tmp_path / "t.csv", "--regression")
    assert (y.tolist(), classification) == ([0.0, 1.0, 1.0], False)


def test_fit__process_columns__go_through_to_predictions(tmp_path, capsys):
    X, y = (values[:40] for values in load_band_gaps())
    table = pd.DataFrame({"f": X, "T": np.arange(40.0), "route": ["a1", "b1"] * 20, "gap": y})
    table.loc[3, "T"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    arguments = ["--formula", "f", "--target", "gap", "--process", "T", "route"]
    arguments += ["--quiet", *FAST, "--out", tmp_path / "m"]
    assert run(capsys, "fit", tmp_path / "t.csv", *arguments)[0] == 0
    facts = json.loads((tmp_path / "m" / "model.json").read_text(encoding="utf-8"))
    assert facts["process"] == {"T": "number", "route": "text"}
    code, text, _ = run(capsys, "predict", tmp_path / "m", tmp_path / "t.csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(text))["predicted gap"].notna().all()
    table.astype({"T": object}).assign(T="hot").to_csv(tmp_path / "bad.csv", index=False)
    code, _, err = run(capsys, "predict", tmp_path / "m", tmp_path / "bad.csv")
    assert code == 1
    assert "line 2: 'hot' in 'T' is no number" in err


def test_fit__folder_of_cifs_and_a_table_of_targets(tmp_path, capsys):
    structures, frequency, _ = make_structures(12)
    cifs = tmp_path / "cifs"
    cifs.mkdir()
    for k, structure in enumerate(structures):
        structure.to(filename=str(cifs / f"{k}.cif"))
    targets = pd.DataFrame({"id": range(12), "frequency": frequency})
    targets.to_csv(tmp_path / "targets.csv", index=False)
    arguments = ["--fast", "--quiet", "--members", "1", "--epochs", "1"]
    code, _, err = run(capsys, "fit", cifs, *arguments, "--out", tmp_path / "m")
    assert code == 1
    assert "pass --targets" in err
    arguments += ["--targets", tmp_path / "targets.csv", "--out", tmp_path / "m"]
    code, _, err = run(capsys, "fit", cifs, *arguments)
    assert code == 0
    assert "target: column 'frequency'" in err
    code, text, _ = run(capsys, "predict", tmp_path / "m", cifs)
    assert code == 0
    table = pd.read_csv(io.StringIO(text))
    assert table["file"].tolist() == sorted(f"{k}.cif" for k in range(12))
    assert table["predicted frequency"].notna().all()
    assert run(capsys, "report", tmp_path / "m")[0] == 0


@pytest.mark.filterwarnings(
    "ignore:.*elements that the training set had not", "ignore:R.2 score is not well-defined"
)
def test_fit__process_columns_beside_crystals(tmp_path, capsys):
    structures, frequency, _ = make_structures(12)
    files = [f"{k}.cif" for k in range(12)]
    for file, structure in zip(files, structures, strict=True):
        structure.to(filename=str(tmp_path / file))
    table = pd.DataFrame({"file": files, "T": np.arange(12.0), "route": ["a", "b"] * 6})
    table.loc[3, "T"] = np.nan
    table.assign(frequency=frequency).to_csv(tmp_path / "t.csv", index=False)
    table.assign(route="new").to_csv(tmp_path / "new.csv", index=False)
    arguments = ["--structure", "file", "--process", "T"]
    code, _, err = run(capsys, "fit", tmp_path / "t.csv", *arguments, "--out", tmp_path / "m")
    assert code == 1
    assert "Pass --target: ['route', 'frequency']" in err
    arguments.append("route")
    arguments += ["--fast", "--quiet", "--members", "1", "--epochs", "1", "--cv", "2"]
    assert run(capsys, "fit", tmp_path / "t.csv", *arguments, "--out", tmp_path / "m")[0] == 0
    code, text, _ = run(capsys, "predict", tmp_path / "m", tmp_path / "new.csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(text))["predicted frequency"].notna().all()
    assert run(capsys, "report", tmp_path / "m")[0] == 0
    assert "structures, column “file”, and T, route" in (tmp_path / "m" / "report.html").read_text()
    for left_out in ("chemical_system", "kmeans"):
        groups = [*arguments[:-2], "--leave-out", left_out, "--overwrite"]
        code, _, err = run(capsys, "fit", tmp_path / "t.csv", *groups, "--out", tmp_path / "m")
        assert code == 0, err


def test_fit__excel_files__need_openpyxl(tmp_path):
    path = tmp_path / "t.xlsx"
    if find_spec("openpyxl") is None:
        path.write_bytes(b"")
        with pytest.raises(CommandError, match=r"needs the package openpyxl|cannot be read"):
            read(path)
        return
    pd.DataFrame({"f": ["GaAs", "InP", "Si"], "t": [1.4, 0.9, 1.1]}).to_excel(path, index=False)
    assert read(path)[0].tolist() == [1.4, 0.9, 1.1]


def test_fit__a_column_for_each_element(tmp_path, capsys):
    steels = pd.DataFrame({"Fe": np.linspace(60, 80, 24), "Cr": 10.0, "strength [MPa]": range(24)})
    steels["Ni"] = 90 - steels["Fe"]
    steels.to_csv(tmp_path / "steels.csv", index=False)
    out = ["--formula", "wt%", "--out", tmp_path / "model", "--quiet", *FAST]
    code, _, err = run(capsys, "fit", tmp_path / "steels.csv", *out)
    assert code == 0
    assert "target: column 'strength [MPa]'" in err
    code, text, _ = run(capsys, "predict", tmp_path / "model", tmp_path / "steels.csv")
    assert code == 0
    assert pd.read_csv(io.StringIO(text))["predicted strength [MPa]"].notna().all()
    steels.drop(columns=["Fe", "Cr", "Ni"]).to_csv(tmp_path / "bare.csv", index=False)
    code, _, err = run(capsys, "predict", tmp_path / "model", tmp_path / "bare.csv")
    assert code == 1
    assert "No column is named by an element" in err
