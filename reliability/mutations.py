"""Ways to damage or forge a model file."""

import copy
import json
import pickle
import struct

import numpy as np
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes

from trisk.persistence import _files
from trisk.persistence._classes import CLASSES, FUNCTIONS

_HEADER = 8  # bytes that hold the length of the header

# What a forger may put in place of a value: wrong kinds, limits, and attempts to escape.
_VALUES = [
    None, True, -1, 0, 1, 2, 7, 1000, 10**6, 2**31, 2**63, 10**12, -(10**12), 0.5, 1e308, "", "x",
    "cuda:99", "meta", "../../../../etc/passwd", "/dev/zero", "a" * 100_000, [], {}, [[]],
    [0] * 1000,
    {"array": "absent"}, {"float": "nan"}, {"float": "inf"}, {"float": "1e999"}, {"float": "x"},
    {"tuple": []}, {"tuple": "ab"}, {"dict": []}, {"dict": [[[], 1]]}, {"dict": [["a", 1, 2]]},
    {"strings": ["a"], "object": True}, {"strings": [["a"], "b"], "object": False}, {"frame": []},
    {"strings": ["a" * 50_000] + [""] * 50_000, "object": False}, {"frame": [["a", [1]]]},
    {"tree": {"dict": []}}, {"class": "Popen", "parameters": {"args": "touch /tmp/owned"}},
    {"class": "Pipeline", "parameters": {"steps": []}}, {"class": ["Pipeline"], "parameters": {}},
    {"class": "ExtraTreesRegressor", "parameters": {}},
    {"class": "MagpieFeaturizer", "parameters": {}, "fitted": {"transform": 1}},
    {"class": "Mat2VecFeaturizer", "parameters": {"vectors": "/tmp/evil.model"}, "fitted": {}},
]  # fmt: skip


class Bomb:
    """What runs when a pickle is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


def split(content):
    """Arrays and metadata of a model file."""
    length = int.from_bytes(content[:_HEADER], "little")
    header = json.loads(content[_HEADER : _HEADER + length])
    return from_bytes(content), header["__metadata__"]


def forge(text, arrays):
    """A file whose checksum agrees."""
    metadata = {"trisk": text, "sha256": _files._checksum(text, arrays)}
    return to_bytes(arrays, metadata)


def nodes(tree, path=()):
    """All places of a JSON tree, as paths."""
    yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    if isinstance(tree, dict | list):
        for key, child in pairs:
            if isinstance(child, dict | list):
                yield from nodes(child, (*path, key))
            else:
                yield (*path, key)


def at(tree, path):
    """The value at a path."""
    for key in path:
        tree = tree[key]
    return tree


# --------------------------------------------------------- damage: bytes, checksum not renewed


def flip_bits(content, rng):
    """Flip one to eight bits."""
    data = bytearray(content)
    for place in rng.integers(len(data), size=rng.integers(1, 9)).tolist():
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def flip_header_bit(content, rng):
    """Flip one bit of the header, where the JSON is."""
    data = bytearray(content)
    end = min(len(data), _HEADER + int.from_bytes(data[:_HEADER], "little"))
    data[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def replace_bytes(content, rng):
    """Overwrite a run of bytes with random ones, zeros, or white space."""
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 65))
    fill = [rng.bytes(length), bytes(length), b" " * length, b"\n" * length][rng.integers(4)]
    return content[:start] + fill + content[start + length :]


def truncate(content, rng):
    """Cut the end off."""
    return content[: int(rng.integers(len(content)))]


def insert(content, rng):
    """Put random bytes somewhere."""
    place = int(rng.integers(len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 100))) + content[place:]


def delete(content, rng):
    """Take some bytes out."""
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, 100)) :]


def move(content, rng):
    """Exchange two blocks."""
    a, b, c = np.sort(rng.integers(len(content), size=3)).tolist()
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def claim_length(content, rng):
    """Claim another length of the header."""
    true = int.from_bytes(content[:_HEADER], "little")
    claims = [0, 1, true - 1, true + 1, len(content), 10**8, 2**31, 2**63, 2**64 - 1]
    return struct.pack("<Q", claims[rng.integers(len(claims))]) + content[_HEADER:]


def edit_header(content, rng):
    """Edit the header's JSON, with its length put right."""
    length = int.from_bytes(content[:_HEADER], "little")
    header = json.loads(content[_HEADER : _HEADER + length])
    name = str(rng.choice([k for k in header if k != "__metadata__"] or ["none"]))
    kind = rng.integers(7)
    if kind == 0:
        header["__metadata__"]["trisk"] = header["__metadata__"]["trisk"].replace("0", "1", 1)
    elif kind == 1:
        header["__metadata__"]["added"] = "x" * int(rng.choice([1, 10**6]))
    elif kind == 2:
        header["__metadata__"].pop(str(rng.choice(list(header["__metadata__"]))))
    elif kind == 3 and name in header:
        header["../../" + name] = header.pop(name)
    elif kind == 4 and name in header:
        header[name]["shape"] = [int(v) for v in rng.choice([0, 1, 3, 2**40, 2**62], size=2)]
    elif kind == 5 and name in header:
        header[name]["data_offsets"] = [int(v) for v in rng.choice([0, 8, 2**62], size=2)]
    elif name in header:
        header[name]["dtype"] = str(rng.choice(["F64", "F32", "I8", "BF16", "F8_E4M3", "U64", "?"]))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[_HEADER + length :]


def foreign(content, rng):
    """A file that is something else altogether."""
    weights = {"weight": np.zeros((3, 4), dtype=np.float32)}
    bf16 = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    fp8 = json.dumps({"w": {"dtype": "F8_E5M2", "shape": [2], "data_offsets": [0, 2]}}).encode()
    others = [
        b"", b"\n", b"{}", rng.bytes(500), pickle.dumps(Bomb()), pickle.dumps({"weight": Bomb()}),
        b"PK\x03\x04" + content, b"\x80\x02" + content, content * 2,
        to_bytes(weights), to_bytes(weights, {"format": "pt"}), to_bytes({}),
        struct.pack("<Q", len(bf16)) + bf16 + bytes(4),
        struct.pack("<Q", len(fp8)) + fp8 + bytes(2),
        struct.pack("<Q", 2**20) + b"[" * 2**20, struct.pack("<Q", 2**20) + b" " * 2**20,
        struct.pack("<Q", 2 * 10**8) + b'{"a":' * 10**6,
    ]  # fmt: skip
    return others[rng.integers(len(others))]


# ------------------------------------------------------ forgery: the checksum is made to agree


def _forge_tree(content, change):
    arrays, metadata = split(content)
    description = json.loads(metadata["trisk"])
    description = change(description, arrays) or description
    return forge(json.dumps(description), arrays)


def forge_value(content, rng):
    """Put something else in one to three places of the description."""

    def change(description, arrays):
        for _ in range(rng.integers(1, 4)):
            paths = [p for p in nodes(description) if p]
            path = paths[rng.integers(len(paths))]
            at(description, path[:-1])[path[-1]] = copy.deepcopy(
                _VALUES[rng.integers(len(_VALUES))]
            )

    return _forge_tree(content, change)


def forge_number(content, rng):
    """Change numbers of the description: widths, counts, seeds."""

    def change(description, arrays):
        numbers = [p for p in nodes(description) if type(at(description, p)) in (int, float)]
        for _ in range(rng.integers(1, 4)):
            path = numbers[rng.integers(len(numbers))]
            values = [-1, 0, 3, 10**5, 2**31 - 1, 2**40, 0.1, 1e300]
            at(description, path[:-1])[path[-1]] = values[rng.integers(len(values))]

    return _forge_tree(content, change)


def forge_removal(content, rng):
    """Leave out a part of the description."""

    def change(description, arrays):
        path = [p for p in nodes(description) if p]
        path = path[rng.integers(len(path))]
        del at(description, path[:-1])[path[-1]]

    return _forge_tree(content, change)


def forge_exchange(content, rng):
    """Exchange two parts of the description, or copy one over the other."""

    def change(description, arrays):
        paths = [p for p in nodes(description) if p]
        first, second = (paths[i] for i in rng.integers(len(paths), size=2))
        value = copy.deepcopy(at(description, first))
        at(description, second[:-1])[second[-1]] = value

    return _forge_tree(content, change)


def forge_class(content, rng):
    """Name another class or function: on the list, off the list, or a path to one."""
    foreign = ["Popen", "os.system", "__import__", "Tree", "ModelReader", "load", 3]
    names = [*CLASSES, *FUNCTIONS, *foreign]

    def change(description, arrays):
        owners = [p for p in nodes(description) if p and p[-1] in ("class", "function")]
        path = owners[rng.integers(len(owners))]
        at(description, path[:-1])[path[-1]] = names[rng.integers(len(names))]

    return _forge_tree(content, change)


def forge_depth(content, rng):
    """Nest the description deeper than any recursion."""
    depth = int(rng.choice([100, 900, 5000, 10**5]))
    opening, closing = [("[", "]"), ('{"tuple":[', "]}"), ('{"class":', "}")][rng.integers(3)]
    arrays, _ = split(content)
    text = '{"format":1,"trisk":"0","model":' + opening * depth + "1" + closing * depth + "}"
    return forge(text, arrays)


def forge_text(content, rng):
    """Replace the description as a whole."""
    arrays, metadata = split(content)
    texts = [
        "", "null", "[]", "{}", "NaN", '{"format": 1}', '{"format": 1, "model": 3}', "\ud7ff" * 9,
        '{"format": true, "model": {}}', '{"format": 99, "trisk": "7.1", "model": {}}',
        '{"format": -1, "model": {}}', '{"format": 1e400, "model": {}}', "9" * 10_000,
        metadata["trisk"].replace("true", "Infinity"), metadata["trisk"].replace("0", "9"),
        metadata["trisk"] + " ", metadata["trisk"][: int(rng.integers(len(metadata["trisk"])))],
    ]  # fmt: skip
    return forge(texts[rng.integers(len(texts))], arrays)


def forge_array(content, rng):
    """Change the values, shape or type of one array, or exchange two."""
    arrays, metadata = split(content)
    names = list(arrays)
    name = names[rng.integers(len(names))]
    value = arrays[name]
    other = arrays[names[rng.integers(len(names))]]
    with np.errstate(all="ignore"):
        changed = [
            value.ravel(), value[:0], value[:1], np.concatenate([value.ravel()] * 3), other,
            value.astype(np.int64) + 10**9, value.astype(np.int64) - 10**9, value.astype(bool),
            np.full_like(value, np.nan if value.dtype.kind == "f" else 1),
            np.full(value.shape, np.inf), np.zeros(value.shape), value.astype(np.float16),
            value[None], value[..., None], np.full(value.shape, 2.0**62), -value.astype(float),
            np.full(value.shape, np.iinfo(np.int64).max), np.full(value.shape, -1),
        ]  # fmt: skip
    arrays[name] = np.ascontiguousarray(changed[rng.integers(len(changed))])
    if rng.random() < 0.1:
        arrays["added"] = np.zeros(3)
    if rng.random() < 0.1:
        del arrays[name]
    return forge(metadata["trisk"], arrays)


DAMAGES = [
    flip_bits, flip_header_bit, replace_bytes, truncate, insert, delete, move, claim_length,
    edit_header, foreign,
]  # fmt: skip
FORGERIES = [
    forge_value, forge_number, forge_removal, forge_exchange, forge_class, forge_depth, forge_text,
    forge_array,
]  # fmt: skip
