"""Inputs and model files as nobody should write them: refused with a cause, or read, and no worse.

``python -m reliability.fuzz inputs`` reads 100,000 formulas and structures with
``on_error="nan"``. A failure is any exception, any warning but the featurizers' own, a value that
is not finite without an entry in ``errors_``, a row that takes longer than a second, or more than
500 MB of memory.

``python -m reliability.fuzz files`` loads 10,000 altered model files. A *damaged* one, whose bytes
changed, must be refused or hold what it held. A *forged* one, a sound archive with another content,
must be refused or give a model, which is asked for predictions; these may raise. Neither may crash,
hang, fill the memory, run code or write a file.
"""

import argparse
import copy
import io
import json
import multiprocessing
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
_SUFFIXES = {".cif": "cif", ".cif.gz": "cif", ".json": "json", ".vasp": "poscar", ".xyz": "xyz"}


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
        suffix = str(rng.choice(list(_SUFFIXES)))
        text = _damage_text(structure.to(fmt=_SUFFIXES[suffix]), rng)
    except Exception:  # pymatgen refuses such a structure itself
        return _damage_dict({"lattice": {"matrix": cell.tolist()}, "sites": []}, rng)
    path = Path(folder) / f"{rng.integers(1000)}{suffix}"
    content = text.encode(errors="replace")
    path.write_bytes(__import__("gzip").compress(content) if suffix.endswith("gz") else content)
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
            warnings.filterwarnings(
                "ignore", message=".*could not be featurized", category=UserWarning
            )
            result = featurizer.transform(values)
        refused = set(featurizer.errors_["row"])
        assert featurizer.errors_["cause"].str.len().between(1, 2000).all()
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
    counts, failures, longest, done = Counter(), [], 0.0, 0
    memory = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        while done < n_inputs:
            is_structure = rng.random() < share_of_structures
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pymatgen, while it makes strange structures
                values = [
                    make_structure(rng, folder) if is_structure else make_formula(rng)
                    for _ in range(min(batch, n_inputs - done))
                ]
            done += len(values)
            for featurizer in readers.structures if is_structure else [readers.compositions]:
                name = type(featurizer).__name__
                started = time.monotonic()
                try:
                    counts.update(f"{name}: {o}" for o in readers.read(featurizer, values))
                except Exception as error:
                    failures.append([name, _first_failure(readers, featurizer, values, error)])
                longest = max(longest, (time.monotonic() - started) / len(values))
            if not is_structure:
                compare_parsers([v for v in values if isinstance(v, str)])
    grown = round(peak_memory() - memory)
    failures += [["all", f"{grown} MB more memory"]] if grown > MEGABYTES else []
    failures += [["all", f"{longest:.1f} s a row"]] if longest > SECONDS_PER_ROW else []
    return {
        "inputs": n_inputs,
        "failures": failures[:50],
        "longest_s_per_row": round(longest, 4),
        "memory_growth_MB": grown,
        "outcomes": dict(sorted(counts.items())),
    }


def _first_failure(readers, featurizer, values, whole):
    for value in values:
        try:
            readers.read(featurizer, [value])
        except Exception as error:
            parts = ("numbers", "positions", "cell", "pbc")
            is_atoms = hasattr(value, "get_positions")
            text = repr([getattr(value, p) for p in parts] if is_atoms else value)
            if isinstance(value, Path):
                text += f" {value.read_bytes()!r}"
            return f"{type(error).__name__}: {error}"[:300] + " " + text[:3000]
    return f"a batch: {type(whole).__name__}: {whole}"[:300]


def compare_parsers(formulas):
    """The parser of many formulas at once and that of one agree on each."""
    table, _ = parse_compositions(formulas, on_error="nan")
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
SECONDS = 20  # a file that takes longer counts as a hang
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
    kind = ["flip", "flip the end", "replace", "truncate", "insert", "delete", "move", "other"]
    kind = kind[rng.integers(len(kind))]
    n, data = len(content), bytearray(content)
    first, second, third = np.sort(rng.integers(n, size=3)).tolist()
    if kind.startswith("flip"):  # at the end of an archive stands its directory
        low = n - n // 20 if kind == "flip the end" else 0
        for place in rng.integers(low, n, size=rng.integers(1, 9)).tolist():
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "replace":
        length = int(rng.integers(1, 65))
        data[first : first + length] = [rng.bytes(length), bytes(length)][rng.integers(2)]
    elif kind == "truncate":
        del data[first:]
    elif kind == "insert":
        data[first:first] = rng.bytes(int(rng.integers(1, 100)))
    elif kind == "delete":
        del data[first : first + int(rng.integers(1, 100))]
    elif kind == "move":
        data = data[:first] + data[second:third] + data[first:second] + data[third:]
    else:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, zeros=np.zeros(10**7))
        others = [b"", b"\n", b"{}", rng.bytes(500), pickle.dumps(Bomb()), buffer.getvalue()]
        data = bytearray(others[rng.integers(len(others))])
    return kind, bytes(data)


def forge(content, rng):
    """Write another content into a sound archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members.pop("schema.json"))
    kinds = ["value", "number", "type", "remove", "copy", "array", "depth"]
    kind = kinds[rng.integers(len(kinds))]
    places = list(_places(description))
    for _ in range(rng.integers(1, 4)):
        nodes = [
            p for p in places if isinstance(p[0].get(p[1]), dict) and "__class__" in p[0][p[1]]
        ]
        parent, key = nodes[rng.integers(len(nodes))]
        if kind in ("value", "number"):
            plain = [n for p in nodes if (n := p[0][p[1]]).get("__loader__") == "JsonNode"]
            values = _VALUES if kind == "value" else [v for v in _VALUES if type(v) in (int, float)]
            if kind == "number":
                plain = [n for n in plain if n["content"].lstrip("-")[:1].isdigit()] or plain
            node = plain[rng.integers(len(plain))]
            node["content"] = json.dumps(values[rng.integers(len(values))])
            node.pop("__id__", None)
        elif kind == "type":
            module, _, name = _TYPES[rng.integers(len(_TYPES))].rpartition(".")
            parent[key] |= {"__module__": module, "__class__": name}
            loaders = ("ObjectNode", "FunctionNode", "TypeNode", "ListNode", "MethodNode")
            parent[key]["__loader__"] = str(rng.choice(loaders))
        elif kind == "remove":
            del parent[key]
        elif kind == "copy":
            other = nodes[rng.integers(len(nodes))]
            parent[key] = copy.deepcopy(other[0][other[1]])
        elif kind == "array":
            name = str(rng.choice(list(members)))
            members[name] = _other_array(members[name], rng)
    text = json.dumps(description)
    if kind == "depth":
        depth = int(rng.choice([100, 900, 5000, 10**5]))
        text = text.replace(': "', ": " + "[" * depth + "]" * depth + ', "x": "', 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.writestr("schema.json", text)
    return kind, buffer.getvalue()


def _places(value):
    """All dictionaries of a description with their keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(pairs):
        if isinstance(value, dict):
            yield value, key
        if isinstance(child, dict | list):
            yield from _places(child)


def _other_array(member, rng):
    value = np.load(io.BytesIO(member))
    if value.dtype.kind == "V":  # of the nodes of trees
        changed = [value[:0], value[:1], np.concatenate([value] * 2), value.copy()]
        field = value.dtype.names[rng.integers(len(value.dtype.names))]
        changed[-1][field] = changed[-1][field] + rng.choice([1, 100])
    elif value.dtype.kind not in "biuf":
        changed = [value[:0], value[:1], np.full(value.shape, 7.0)]
    else:
        with np.errstate(all="ignore"):
            changed = [
                value.ravel(), value.ravel()[:0], value.ravel()[:1], np.tile(value.ravel(), 3),
                value.astype(np.int64) + 10**9, value.astype(np.int64) - 10**9, value.astype(bool),
                np.full(value.shape, np.nan), np.full(value.shape, np.inf), np.zeros(value.shape),
                value.astype(np.float16), value[None], np.full(value.shape, 2.0**62),
                np.full(value.shape, -1), np.full_like(value, 1), np.full(value.shape, "text"),
            ]  # fmt: skip
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
        if (is_open and set(arguments[1]) & set("wax+")) or event.startswith(_FORBIDDEN):
            self.seen.append(f"{event} {arguments!r}"[:200])


class FileFuzzer:
    """Loads altered files of some models and says what came of each."""

    def __init__(self, folder, models=MODELS):
        self.path = Path(folder) / "altered.trisk"
        self.subjects = []
        for name in models:
            subject = case(name)
            trisk.save(subject.fit(), self.path)
            content, X = self.path.read_bytes(), subject.data()[0][:6]
            expected = subject.ask(trisk.load(self.path), X)
            self.subjects.append((subject, content, X, expected))
        self.watch = Watch()

    def try_one(self, number):
        """Alter a file, load it; return the kind of alteration and the outcome."""
        rng = np.random.default_rng([20261122, number])
        subject, content, X, expected = self.subjects[number % len(self.subjects)]
        is_damaged = bool((number // len(self.subjects)) % 2)
        kind, altered = (damage if is_damaged else forge)(content, rng)
        self.path.write_bytes(altered)
        self.watch.armed = True
        try:
            model = trisk.load(self.path, device="cpu")
        except ModelFileError:
            return kind, "refused"
        except Exception as error:
            return kind, f"BAD load raised {type(error).__name__}: {error}"[:300]
        finally:
            self.watch.armed = False
        try:
            answer = subject.ask(model, X)
        except Exception as error:
            if is_damaged:
                return kind, f"BAD a damaged file was loaded: {error}"[:300]
            return kind, f"loaded, predict raises {type(error).__name__}"
        if is_damaged:
            same = np.array_equal(answer, expected, equal_nan=True)
            return kind, "same content" if same else "BAD a damaged file was loaded"
        return kind, "loaded, predicts"

    def run(self, numbers, note=lambda number: None):
        """Try many; return counts by kind, failures, and the longest time and largest growth."""
        counts, failures, longest, memory = Counter(), [], 0.0, peak_memory()
        for number in numbers:
            note(number)
            started = time.monotonic()
            signal.alarm(SECONDS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind, outcome = self.try_one(number)
            signal.alarm(0)
            longest = max(longest, time.monotonic() - started)
            if outcome.startswith("BAD"):
                failures.append([number, kind, outcome])
            counts[f"{kind}: {outcome.split(' raised')[0][:60]}"] += 1
        failures += [[-1, "audit", event] for event in self.watch.seen]
        return {
            "files": len(numbers),
            "failures": failures,
            "longest_s": round(longest, 2),
            "memory_growth_MB": round(peak_memory() - memory),
            "outcomes": dict(sorted(counts.items())),
        }


def _work(numbers, models, folder):
    import torch

    torch.set_num_threads(1)
    note = Path(folder, "number").write_text
    result = FileFuzzer(folder, models).run(numbers, lambda number: note(str(number)))
    Path(folder, "result.json").write_text(json.dumps(result))


def fuzz_files(n_files, models=MODELS):
    """Try files in a process of its own, so that a crash or a hang is seen and counted."""
    result, crashes, ranges = None, [], [range(n_files)]
    while ranges:
        numbers = ranges.pop(0)
        with tempfile.TemporaryDirectory() as folder:
            # Spawned, as torch's threads do not survive a fork.
            process = multiprocessing.get_context("spawn").Process(
                target=_work, args=(numbers, models, folder)
            )
            process.start()
            process.join()
            if process.exitcode == 0:
                part = json.loads(Path(folder, "result.json").read_text())
                result = part if result is None else _joined(result, part)
                continue
            # Those before the file are tried again, and counted.
            number = int(Path(folder, "number").read_text())
        crashes.append([number, "process", f"ended with {process.exitcode}"])
        parts = range(numbers.start, number), range(number + 1, numbers.stop)
        ranges[:0] = [part for part in parts if part]
    result["failures"] += crashes
    return result


def _joined(first, second):
    return {
        "files": first["files"] + second["files"],
        "failures": first["failures"] + second["failures"],
        **{k: max(first[k], second[k]) for k in ("longest_s", "memory_growth_MB")},
        "outcomes": dict(Counter(first["outcomes"]) + Counter(second["outcomes"])),
    }


def main():
    """Run a campaign; leave with an error if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["inputs", "files"])
    parser.add_argument("--number", type=int)
    options = parser.parse_args()
    started = time.monotonic()
    if options.what == "inputs":
        result = fuzz_inputs(options.number or 100_000)
    else:
        result = fuzz_files(options.number or 10_000)
    print(json.dumps(result | {"seconds": round(time.monotonic() - started)}, indent=1))
    sys.exit(bool(result["failures"]))


if __name__ == "__main__":
    main()
