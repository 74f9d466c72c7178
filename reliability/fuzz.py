"""Inputs and model files as nobody should write them: refused with a cause, or read, and no worse.

``python -m reliability.fuzz inputs`` reads formulas and structures with ``on_error="nan"``. A
failure is an exception, a warning but the featurizers' own, a value that is not finite without an
error of its row, more than a second a row, or more than 500 MB of memory.

``python -m reliability.fuzz files`` loads altered model files. A *damaged* one, of other bytes,
must be refused or hold what it held. A *forged* one, a sound archive with another content, must be
refused or give a model, whose predictions may raise. Neither may crash, hang, fill the memory, run
code or write a file.
"""

import argparse
import contextlib
import copy
import gzip
import io
import json
import pickle
import resource
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

import trisk
from reliability.models import case
from trisk.featurizers.composition.formulas import FormulaError, parse_compositions, parse_formula
from trisk.persistence import ModelFileError
from trisk.structures.readers import is_source

# ---------------------------------------------------------------------- formulas and structures

SECONDS_PER_ROW, MEGABYTES = 1.0, 500
ALL_BLOCKS = [
    "element_fraction", "magpie", "stoichiometry", "valence_orbital", "band_center",
    "transition_metal_fraction", "atomic_orbitals", "ion_property", "mat2vec", "miedema", "yang",
    "wen",
]  # fmt: skip
_PIECES = [
    "H", "C", "O", "Fe", "Na", "Cl", "U", "Og", "D", "T", "Ti", "P", "S", "N", "Xx", "fe", "FE",
    "(", ")", "[", "]", "{", "}", " ", "\t", "\n", "0", "1", "2", "3", ".5", "0.0", "1e3", "1e-9",
    "1e999", "1e30", "1e15", "-1", "+", "3+", "^", "2-", "·", "*", ".", ",", "_", "₂",
    "٢", "２", "é", "\x00", "\ud800", "e", "0.3333", "10000000000000000",
    "1e12", "1e-7", "%", "nan", "inf", "=", "#", "/", "H2O", "x",
]  # fmt: skip
_WHOLE = [
    "", " ", "Fe2O3" * 2_000_000, "H" * 10**6, "(" * 1000 + "Fe" + ")" * 1000, "(" * 10**6,
    "Fe" + "9" * 10**6, "9" * 10**6, "Fe0.0", "D2O", "T2O", "Fe3+", "Na+Cl-", "Fe-1", "FeFeFe",
    " Fe 2 O 3 ", "Fe₂O₃", "Fe٢O٣", "NaCl nan", "nan", "None", "()", "(Fe)0", "((Fe)2)3",
    None, float("nan"), float("inf"), 0, -1, True, b"Fe", [], {}, {"Fe": 0}, {"Fe": -1},
    {"Fe": "x"}, {"Fe": 1e40, "O": 1}, {"Fe": None}, {"Fe3+": 1, "O2-": 1.5}, {26: 1}, {26.5: 1},
    {0: 1}, {119: 1}, {"": 1}, {None: 1}, {"Fe": float("inf")}, {"Fe": 1e300}, {("Fe",): 1},
    object, np.array([1, 2]), 3 + 4j,
]  # fmt: skip


def make_formula(rng):
    """A formula: from pieces, damaged, or something else altogether."""
    kind = rng.random()
    if kind < 0.02:
        return _WHOLE[rng.integers(len(_WHOLE))]
    pieces = [_PIECES[i] for i in rng.integers(len(_PIECES), size=rng.integers(1, 12))]
    if kind < 0.6:
        return "".join(pieces)
    formula = "".join(
        f"{_PIECES[rng.integers(12)]}{rng.choice(['', '2', '0.25', '3.00', '11'])}"
        for _ in range(rng.integers(1, 6))
    )
    if kind < 0.8:
        return formula
    place = int(rng.integers(len(formula) + 1))
    return formula[:place] + pieces[0] + formula[place + int(rng.integers(2)) :]


def make_structure(rng, folder):
    """A small crystal with up to three things wrong, as an object, a dict, a text or a file."""
    from ase import Atoms
    from pymatgen.io.ase import AseAtomsAdaptor

    n_atoms = int(rng.integers(1, 7))
    cell = np.eye(3) * rng.uniform(2.5, 6, 3) + rng.uniform(-0.5, 0.5, (3, 3))
    positions = rng.random((n_atoms, 3)) @ cell
    numbers = rng.integers(1, 95, n_atoms)
    extreme = [0.0, -1.0, 1e-300, 1e-9, 1e-3, 1e3, 1e6, 1e12, 1e300, np.nan, np.inf]
    pbc = [True] * 3
    for _ in range(rng.integers(0, 4)):
        kind = rng.integers(9)
        value = extreme[rng.integers(len(extreme))]
        if kind == 0:
            cell[rng.integers(3), rng.integers(3)] = value
        elif kind == 1:
            positions[rng.integers(n_atoms), rng.integers(3)] = value
        elif kind == 2:
            cell *= value
        elif kind == 3:
            positions *= value
        elif kind == 4:
            cell[1] = cell[0] * rng.uniform(-2, 2)
        elif kind == 5:
            numbers[rng.integers(n_atoms)] = rng.choice([0, -1, 119, 200, 118])
        elif kind == 6:
            pbc = rng.random(3) < 0.5
        elif kind == 7:
            positions[-1] = positions[0]
        else:
            cell[2] += 10 ** rng.uniform(0, 5) * cell[0]
    atoms = Atoms(numbers.clip(0), positions=positions, cell=cell, pbc=pbc)
    atoms.numbers[:] = numbers
    form = rng.integers(6)
    if form == 0:
        return atoms
    try:
        structure = AseAtomsAdaptor.get_structure(atoms)
        if form == 1:
            return structure
        if form == 2:
            return _damage_dict(structure.as_dict(), rng)
        if form == 3:
            return _damage_text(structure.to(fmt="cif"), rng)
        suffix = str(rng.choice([".cif", ".cif.gz", ".json", ".vasp", ".xyz"]))
        buffer = io.StringIO()
        atoms.write(buffer, format="extxyz")
        kind = {".json": "json", ".vasp": "poscar"}.get(suffix, "cif")
        text = buffer.getvalue() if suffix == ".xyz" else structure.to(fmt=kind)
        text = _damage_text(text, rng)
    except Exception:  # pymatgen refuses such a structure itself
        return _damage_dict({"lattice": {"matrix": cell.tolist()}, "sites": []}, rng)
    path = Path(folder) / f"{rng.integers(1000)}{suffix}"
    content = text.encode(errors="replace")
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    return path


def _damage_dict(value, rng):
    for _ in range(rng.integers(0, 3)):
        node, key = value, None
        while isinstance(node, dict | list) and len(node):
            parent, keys = node, list(node) if isinstance(node, dict) else range(len(node))
            key = keys[rng.integers(len(keys))]
            node = node[key]
            if rng.random() < 0.3:
                break
        if key is not None:
            parent[key] = [None, -1, "x", [], {}, 1e300, float("nan")][rng.integers(7)]
    return value


def _damage_text(text, rng):
    for _ in range(rng.integers(0, 4)):
        place = int(rng.integers(len(text)))
        added = ["", "\n", "?", ".", "-", "1e300", "loop_\n", "'", "\x00"][rng.integers(9)]
        text = text[:place] + added + text[place + int(rng.integers(10)) :]
    return text


class Readers:
    """Featurizers that read whatever comes, and what is wrong with what they give."""

    def __init__(self):
        start = {"on_error": "nan"}
        self.compositions = trisk.CompositionFeaturizer(blocks=ALL_BLOCKS, **start).fit(["Fe"])
        self.structures = [
            trisk.CrystalGraphFeaturizer(order=3, composition=["magpie"], **start),
            trisk.SpringModelFeaturizer(**start),
            trisk.PowerSpectrumFeaturizer(n_radial=2, max_degree=1, **start),
        ]
        for featurizer in self.structures:
            featurizer.fit([])

    def read(self, featurizer, values):
        """Outcomes of all rows: "read" or "refused"; raises AssertionError on a failure."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*could not be featurized", UserWarning)
            result = featurizer.transform(values)
            errors = featurizer.explain_errors(values)
        refused = set(errors["row"])
        assert errors["cause"].str.len().between(1, 2000).all()
        if hasattr(result, "bond_lengths"):
            finite = [np.isfinite(a).all() for a in (result.bond_lengths, result.atom_features)]
            assert all(finite), "a graph holds values that are not finite"
        else:
            bad = np.flatnonzero(~np.isfinite(result.to_numpy(dtype=float)).all(axis=1))
            assert set(bad) <= refused, f"not finite without an error: row {bad[:1]}"
        return ["refused" if row in refused else "read" for row in range(len(values))]


def fuzz_inputs(n_inputs, seed=0, share_of_structures=0.1, batch=200):
    """Read many inputs in batches; a batch that fails is read again row by row."""
    readers, rng = Readers(), np.random.default_rng([20261122, seed])
    counts, failures, longest, memory = Counter(), [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, n_inputs, batch):
            is_structure = rng.random() < share_of_structures
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pymatgen, while it makes strange structures
                values = [
                    make_structure(rng, folder) if is_structure else make_formula(rng)
                    for _ in range(min(batch, n_inputs - start))
                ]
            for featurizer in readers.structures if is_structure else [readers.compositions]:
                name, started = type(featurizer).__name__, time.monotonic()
                try:
                    counts.update(f"{name}: {o}" for o in readers.read(featurizer, values))
                except Exception as error:
                    failures.append([name, _first_failure(readers, featurizer, values, error)])
                longest = max(longest, (time.monotonic() - started) / len(values))
            if not is_structure:
                compare_parsers([v for v in values if isinstance(v, str)])
            if start <= 5 * batch:  # with all that is imported on the way
                memory = peak_memory()
    grown = round(peak_memory() - memory)
    failures += [["all", f"{grown} MB more memory"]] if grown > MEGABYTES else []
    failures += [["all", f"{longest:.1f} s a row"]] if longest > SECONDS_PER_ROW else []
    return {"inputs": n_inputs, "failures": failures, "longest_s": round(longest, 4),
            "memory_growth_MB": grown, "outcomes": dict(sorted(counts.items()))}  # fmt: skip


def _first_failure(readers, featurizer, values, whole):
    for value in values:
        try:
            readers.read(featurizer, [value])
        except Exception as error:
            text = repr(vars(value) if hasattr(value, "get_positions") else value)
            text += repr(value.read_bytes()) if isinstance(value, Path) else ""
            return f"{type(error).__name__}: {error}"[:300] + " " + text[:3000]
    return f"a batch: {type(whole).__name__}: {whole}"[:300]


def compare_parsers(formulas):
    """The parser of many formulas at once and that of one agree on each."""
    formulas = [formula for formula in formulas if not is_source(formula)]
    table, _ = parse_compositions(formulas)
    for row, formula in enumerate(formulas):
        try:
            expected = parse_formula(formula)
        except FormulaError:
            expected = {}
        part = slice(table.offsets[row], table.offsets[row + 1])
        found = dict(zip(table.elements[part].tolist(), table.amounts[part].tolist(), strict=True))
        assert found == expected, f"{formula[:200]!r}: {found} in bulk, {expected} alone"


def peak_memory():
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---------------------------------------------------------------------------------- model files

MODELS = (
    "HybridTRIADSRegressor-stacked", "HybridTRIADSClassifier-attention", "GraphTRIADSRegressor",
    "TriForcesPotential", "HybridTRIADSRegressor-hurdle", "CompositionEncoderRegressor",
    "DeltaRegressor", "TriForcesPretrainer", "StructureRetriever", "PotentialFeaturizer",
    "TriForcesRegressor-logarithm", "TriForcesSensors-union",
)  # fmt: skip
SECONDS = 20  # of CPU time; a file that takes longer counts as a hang
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "pickle.find_class", "ctypes.dlopen", "shutil.", "os.remove", "os.rename",
)  # fmt: skip
_VALUES = [
    None, True, -1, 0, 1, 2, 7, 1000, 10**6, 2**31, 2**63, 10**12, 0.5, 1e308, float("nan"), "",
    "x", "cuda:99", "meta", "../../../../etc/passwd", "/dev/zero", "a" * 100_000, [], {}, [[]],
    [0] * 1000,
]  # fmt: skip
_TYPES = [
    "subprocess.Popen", "os.system", "builtins.eval", "builtins.map", "pickle.loads", "numpy.load",
    "numpy.exp", "numpy.ndarray", "sklearn.linear_model._ridge.Ridge", "trisk.persistence.load",
    "sklearn.tree._tree.Tree", "sklearn.pipeline.Pipeline", "collections.OrderedDict",
]  # fmt: skip


class Bomb:
    """What runs when a pickle is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


def damage(content, rng):
    """Change the bytes of a file."""
    n = len(content)
    first, second, third = np.sort(rng.integers(n, size=3)).tolist()
    few = rng.bytes(int(rng.integers(1, 65)))
    bomb = io.BytesIO()
    np.savez_compressed(bomb, zeros=np.zeros(10**6))
    others = [b"", b"{}", few, pickle.dumps(Bomb()), bomb.getvalue()]
    flipped = bytearray(content)
    # Half of the bits at the end, where an archive has its directory.
    low = n - n // 20 if rng.random() < 0.5 else 0
    for place in rng.integers(low, n, size=rng.integers(1, 9)).tolist():
        flipped[place] ^= 1 << int(rng.integers(8))
    kinds = {
        "flip": bytes(flipped),
        "replace": content[:first] + few + content[first + len(few) :],
        "zeros": content[:first] + bytes(len(few)) + content[first + len(few) :],
        "truncate": content[:first],
        "insert": content[:first] + few + content[first:],
        "delete": content[:first] + content[first + len(few) :],
        "move": content[:first] + content[second:third] + content[first:second] + content[third:],
        "other": others[rng.integers(len(others))],
    }
    kind = list(kinds)[rng.integers(len(kinds))]
    return kind, kinds[kind]


def forge(content, rng):
    """Write another content into a sound archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members.pop("schema.json"))
    kinds = ["value", "number", "type", "remove", "copy", "array", "depth"]
    kind = kinds[rng.integers(len(kinds))]
    for _ in range(rng.integers(1, 4)):
        places = list(_places(description))
        if not places:  # all were removed
            break
        parent, key = places[rng.integers(len(places))]
        if kind in ("value", "number"):
            plain = [p[k] for p, k in places if p[k]["__loader__"] == "JsonNode"]
            if kind == "number":
                plain = [n for n in plain if n["content"].lstrip("-")[:1].isdigit()] or plain
            node = plain[rng.integers(len(plain))]
            values = [v for v in _VALUES if kind == "value" or type(v) in (int, float)]
            node["content"] = json.dumps(values[rng.integers(len(values))])
            node.pop("__id__", None)
        elif kind == "type":
            module, _, name = _TYPES[rng.integers(len(_TYPES))].rpartition(".")
            loader = str(rng.choice(["ObjectNode", "FunctionNode", "TypeNode", "ListNode"]))
            parent[key] |= {"__module__": module, "__class__": name, "__loader__": loader}
        elif kind == "remove":
            del parent[key]
        elif kind == "copy":
            other, name = places[rng.integers(len(places))]
            parent[key] = copy.deepcopy(other[name])
            parent[key].pop("__id__", None)
        elif kind == "array":
            name = str(rng.choice(list(members)))
            members[name] = _other_array(np.load(io.BytesIO(members[name])), rng)
    text = json.dumps(description)
    if kind == "depth":
        depth = int(rng.choice([100, 900, 5000, 10**5]))
        text = text.replace(': "', ": " + "[" * depth + "]" * depth + ', "x": "', 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in (members | {"schema.json": text}).items():
            archive.writestr(name, member)
    return kind, buffer.getvalue()


def _places(value):
    """All descriptions of objects, as dictionaries that hold them and keys."""
    for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(value, dict) and isinstance(child, dict) and "__loader__" in child:
            yield value, key
        if isinstance(child, dict | list):
            yield from _places(child)


def _other_array(value, rng):
    flat = value.ravel()
    changed = [flat, flat[:0], flat[:1], np.concatenate([flat] * 3), value[None]]
    if value.dtype.kind == "V":  # of the nodes of trees
        field = value.dtype.names[rng.integers(len(value.dtype.names))]
        value[field] = value[field] + rng.choice([1, 100])
        changed = [*changed[:4], value, value]
    elif value.dtype.kind in "biuf":
        numbers = [np.nan, np.inf, 0.0, -1, 1, 2.0**62, -(10**9), "text"]
        changed += [np.full(value.shape, n) for n in numbers]
        changed += [value.astype(t) for t in (bool, np.float16)] + [value + 10**9, value - 10**9]
    buffer = io.BytesIO()
    np.save(buffer, changed[rng.integers(len(changed))])
    return buffer.getvalue()


class Watch:
    """Note what Python's audit hooks tell of while a file is loaded."""

    def __init__(self):
        self.armed = False
        self.seen = []
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        """Take an event."""
        if not self.armed:
            return
        is_open = event == "open" and isinstance(arguments[1], str)
        forbidden = event.startswith(_FORBIDDEN) and not _is_loaded(event, arguments)
        if forbidden or (is_open and set(arguments[1]) & set("wax+")):
            self.seen.append(f"{event} {arguments!r}"[:200])


def _is_loaded(event, arguments):
    """Whether a library is asked for that is there already, as threadpoolctl does."""
    maps = Path("/proc/self/maps")
    named = event == "ctypes.dlopen" and isinstance(arguments[0], str) and maps.exists()
    return named and arguments[0] in maps.read_text()


class FileFuzzer:
    """Loads altered files of some models and says what came of each."""

    def __init__(self, folder, models=MODELS):
        self.path = Path(folder) / "altered.trisk"
        self.subjects = []
        with contextlib.suppress(ImportError):
            import faiss  # noqa: F401 - or a file that asks for it would load its libraries
        for name in models:
            subject = case(name)
            trisk.save(subject.fit(), self.path)
            content, X = self.path.read_bytes(), subject.data()[0][:6]
            expected = subject.ask(trisk.load(self.path), X)
            self.subjects.append((subject, content, X, expected))
        self.watch = Watch()

    def try_one(self, number):
        """Alter a file and load it; the kind of alteration and the outcome."""
        rng = np.random.default_rng([20261122, number])
        subject, content, X, expected = self.subjects[number % len(self.subjects)]
        is_damaged = bool((number // len(self.subjects)) % 2)
        kind, altered = (damage if is_damaged else forge)(content, rng)
        self.path.write_bytes(altered)
        self.watch.armed = True
        try:
            model = trisk.load(self.path)
        except ModelFileError:
            return kind, "refused"
        except Exception as error:
            return kind, f"BAD load raised {type(error).__name__}: {error}"[:300]
        finally:
            self.watch.armed = False
        try:
            answer = subject.ask(model, X)
        except Exception as error:
            answer = f"predict raises {type(error).__name__}"
        if is_damaged:
            same = not isinstance(answer, str) and np.array_equal(answer, expected, equal_nan=True)
            return kind, "same content" if same else "BAD a damaged file was loaded"
        return kind, answer if isinstance(answer, str) else "predicts"

    def run(self, numbers):
        """Try many; counts by kind, failures, the longest time and the growth of memory."""
        counts, failures, longest, memory = Counter(), [], 0.0, peak_memory()
        for number in numbers:
            started = time.monotonic()
            # Ends the process, also inside compiled code; on a busy machine no sooner.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    kind, outcome = self.try_one(number)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)  # or it ends the test that comes next
            longest = max(longest, time.monotonic() - started)
            if outcome.startswith("BAD"):
                failures.append([number, kind, outcome])
            counts[f"{kind}: {outcome[:60]}"] += 1
        failures += [[-1, "audit", event] for event in self.watch.seen]
        grown = round(peak_memory() - memory)
        failures += [[-1, "all", f"{grown} MB more memory"]] if grown > MEGABYTES else []
        return {"files": len(numbers), "failures": failures, "longest_s": round(longest, 2),
                "memory_growth_MB": grown, "outcomes": dict(sorted(counts.items()))}  # fmt: skip


def main():
    """Run a campaign; leave with an error if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["inputs", "files"])
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    started = time.monotonic()
    if options.what == "inputs":
        result = fuzz_inputs(options.number or 40_000, share_of_structures=0.5)
    else:
        with tempfile.TemporaryDirectory() as folder:
            result = FileFuzzer(folder).run(range(options.number or 4_000))
    print(json.dumps(result | {"seconds": round(time.monotonic() - started)}, indent=1))
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
