"""A universal potential for the benchmarks: TensorNet, evaluated fast on a CPU.

Reads the weights that matgl 2.0.4 published as TensorNet-MatPES-PBE-v2025.1 (trained on MatPES's
PBE energies, forces and stresses) and evaluates them without matgl, some five times as fast:
radial networks become splines of the distance, tensors are kept as their ten irreducible
components with channels last, sums over neighbours are compiled loops, and nothing is recorded
for second derivatives. Energies and forces
agree with matgl's to single precision (``python benchmarks/tensornet.py FOLDER`` checks the two
reference energies that tell wrongly loaded weights).

Simeon and De Fabritiis, TensorNet, https://arxiv.org/abs/2306.06482; Kaplan et al., MatPES,
https://arxiv.org/abs/2503.04070.
"""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from pymatgen.optimization.neighbors import find_points_in_spheres
from scipy.interpolate import CubicSpline
from tensornet_kernels import Embed, Interact
from torch.nn.functional import layer_norm, linear, silu

_SHORTEST, _STEP = 0.3, 0.02  # Å, of the tables of radial functions
# Squared norm of a 3 × 3 matrix from its components: trace/3, axial vector, xx yy zz xy xz yz.
_NORM = torch.tensor([3.0, 2, 2, 2, 1, 1, 1, 2, 2, 2])[:, None, None]


def _smooth_bessel(r, cutoff, n):
    """Orthogonal combinations of spherical Bessel functions that vanish smoothly at the cutoff."""
    i = torch.arange(n, dtype=r.dtype)
    a, b = (i + 1) * torch.pi / cutoff, (i + 2) * torch.pi / cutoff
    scale = (-1) ** i * 2**0.5 * torch.pi / cutoff**1.5 * (i + 1) * (i + 2)
    scale = scale / ((i + 1) ** 2 + (i + 2) ** 2).sqrt()
    f = scale * (
        torch.sin(r[:, None] * a) / (r[:, None] * a) + torch.sin(r[:, None] * b) / (r[:, None] * b)
    )
    e = i**2 * (i + 2) ** 2 / (4 * (i + 1) ** 4 + 1)
    d, columns = 1.0, [f[:, 0]]
    for k in range(1, n):
        previous, d = d, 1 - e[k] / d
        columns.append((f[:, k] + (e[k] / previous).sqrt() * columns[-1]) / d.sqrt())
    return torch.stack(columns, 1)


def _decompose(full):
    """Components (10, n, channels) of matrices (3, 3, n, channels)."""
    trace = (full[0, 0] + full[1, 1] + full[2, 2]) / 3
    return torch.stack(
        [
            trace,
            (full[2, 1] - full[1, 2]) / 2,
            (full[0, 2] - full[2, 0]) / 2,
            (full[1, 0] - full[0, 1]) / 2,
            *(full[k, k] - trace for k in range(3)),
            (full[0, 1] + full[1, 0]) / 2,
            (full[0, 2] + full[2, 0]) / 2,
            (full[1, 2] + full[2, 1]) / 2,
        ]
    )


def _compose(x):
    """Matrices (3, 3, n, channels) of components (10, n, channels)."""
    t, ax, ay, az, xx, yy, zz, xy, xz, yz = x.unbind()
    rows = [t + xx, xy - az, xz + ay, xy + az, t + yy, yz - ax, xz - ay, yz + ax, t + zz]
    return torch.stack(rows).unflatten(0, (3, 3))


def _product(a, b):
    """Matrix products, atom by atom and channel by channel."""
    return sum(a[:, j, None] * b[None, j] for j in range(3))


def _mix(x, weights):
    """Mix channels, with weights of their own for trace, axial and symmetric parts."""
    parts = x.split([1, 3, 6])
    return torch.cat([linear(p, w) for p, w in zip(parts, weights, strict=True)])


def _norm(x):
    return (x.square() * _NORM).sum(0)


@cache
def _of_folder(folder):
    return TensorNet(folder)


class TensorNet(Calculator):
    """ASE calculator for a folder of matgl weights, with batched calls.

    ``calculate_many(images)`` gives a list of dicts with energy (eV), forces (eV/Å) and stress
    (eV/Å³, in ASE's order and sign).
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, folder):
        super().__init__()
        self.folder = folder = Path(folder)
        settings = json.loads((folder / "model.json").read_text())["kwargs"]["model"]["init_args"]
        self.cutoff, n_radial = float(settings["cutoff"]), settings["max_n"]
        self.weights = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
        self.n_layers, self.n_channels = settings["nblocks"], settings["units"]
        numbers = [atomic_numbers[symbol] for symbol in settings["element_types"]]
        self.kinds = torch.full((120,), -1)
        self.kinds[numbers] = torch.arange(len(numbers))
        w = self.weights
        sent, received = w["model.tensor_embedding.emb2.weight"].chunk(2, 1)
        embedding = w["model.tensor_embedding.emb.weight"]
        self.sent = embedding @ sent.T + w["model.tensor_embedding.emb2.bias"]
        self.received = embedding @ received.T
        self.tables = [self._table(f, n_radial) for f in self._radial_functions()]

    def __reduce__(self):
        """Copies, and what workers get, are the folder's potential; they hash alike."""
        return _of_folder, (str(self.folder),)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Compute everything for one structure."""
        super().calculate(atoms, properties, system_changes)
        self.results = self.calculate_many([self.atoms])[0]

    def calculate_many(self, images):
        """Compute energy, forces and stress of many structures in one pass."""
        graphs = [self._neighbors(atoms) for atoms in images]
        counts = np.array([len(atoms) for atoms in images])
        n_edges = [len(g[0]) for g in graphs]
        shift = torch.tensor(np.repeat(np.cumsum(counts) - counts, n_edges))
        source = torch.tensor(np.concatenate([g[0] for g in graphs])) + shift
        target = torch.tensor(np.concatenate([g[1] for g in graphs])) + shift
        vectors = torch.tensor(np.concatenate([g[2] for g in graphs]), dtype=torch.float32)
        vectors.requires_grad_(True)
        numbers = torch.tensor(np.concatenate([atoms.numbers for atoms in images]))
        kinds = self.kinds[numbers]
        if (kinds < 0).any():
            raise ValueError(f"no weights for atomic number {int(numbers[kinds < 0][0])}")
        site_energies = self._site_energies(kinds, source, target, vectors)
        (slope,) = torch.autograd.grad(site_energies.sum(), vectors)
        site_energies = site_energies.detach().double() * self.weights["data_std"]
        site_energies = site_energies + self.weights["element_refs.property_offset"][kinds]
        slope = slope.double() * self.weights["data_std"]
        forces = torch.zeros(len(kinds), 3, dtype=torch.float64)
        forces.index_add_(0, source, slope).index_add_(0, target, -slope)
        virial = (vectors.detach().double()[:, :, None] * slope[:, None, :]).split(n_edges)
        results = []
        for atoms, e, f, v in zip(
            images,
            site_energies.split(counts.tolist()),
            forces.split(counts.tolist()),
            virial,
            strict=True,
        ):
            stress = v.sum(0).numpy() / atoms.get_volume()
            stress = ((stress + stress.T) / 2)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            energy = float(e.sum())
            results.append(
                {"energy": energy, "free_energy": energy, "forces": f.numpy(), "stress": stress}
            )
        return results

    def _neighbors(self, atoms):
        """Directed pairs within the cutoff: source, target, vector from source to target."""
        cell, positions = np.array(atoms.cell[:]), atoms.get_positions()
        source, target, image, distance = find_points_in_spheres(
            positions,
            positions,
            r=self.cutoff,
            pbc=atoms.pbc.astype(np.int64),
            lattice=cell,
            tol=1e-8,
        )
        kept = (source != target) | (distance > 1e-8)
        source, target, image = source[kept], target[kept], image[kept]
        return source, target, positions[target] + image @ cell - positions[source]

    def _radial_functions(self):
        """For the embedding and every layer: radial basis → three functions of each channel."""
        w = self.weights

        def embedding(basis):
            names = [f"model.tensor_embedding.distance_proj{k}" for k in (1, 2, 3)]
            return torch.stack(
                [linear(basis, w[f"{n}.weight"].double(), w[f"{n}.bias"].double()) for n in names],
                1,
            )

        def interaction(layer):
            def apply(basis):
                for k in range(3):
                    n = f"model.layers.{layer}.linears_scalar.{k}"
                    basis = silu(linear(basis, w[f"{n}.weight"].double(), w[f"{n}.bias"].double()))
                return basis.unflatten(1, (self.n_channels, 3)).transpose(1, 2)

            return apply

        return [embedding, *(interaction(layer) for layer in range(self.n_layers))]

    def _table(self, function, n_radial):
        """Spline coefficients (intervals, 4, 3 × channels); zero from the cutoff on."""
        n = int(np.ceil((self.cutoff - _SHORTEST) / _STEP))
        r = torch.tensor(_SHORTEST + _STEP * np.arange(n + 1))
        envelope = torch.where(r < self.cutoff, (torch.cos(torch.pi * r / self.cutoff) + 1) / 2, 0)
        values = function(_smooth_bessel(r, self.cutoff, n_radial)).flatten(1) * envelope[:, None]
        coefficients = CubicSpline(r.numpy(), values.numpy()).c.transpose(1, 0, 2)
        beyond = np.zeros((1, *coefficients.shape[1:]))
        table = np.concatenate([coefficients, beyond]).astype(np.float32)
        return table.reshape(len(table), 4, 3, self.n_channels), _SHORTEST, _STEP

    def _site_energies(self, kinds, source, target, vectors):
        """Energies of the atoms, without scale and element offsets."""
        w = self.weights
        distance = vectors.norm(dim=1)
        if distance.detach().min() < _SHORTEST:
            raise ValueError(f"two atoms are closer than {_SHORTEST} Å")
        x = self._embed(kinds, source, target, vectors)
        for layer in range(self.n_layers):
            x = self._interact(x, source, target, distance, layer)
        invariants = torch.cat([part.sum(0) for part in (x.square() * _NORM).split([1, 3, 6])], 1)
        y = layer_norm(
            invariants, invariants.shape[1:], w["model.out_norm.weight"], w["model.out_norm.bias"]
        )
        y = linear(y, w["model.linear.weight"], w["model.linear.bias"])
        value, gate = y, y
        for k in (0, 2, 4, 6):
            for_value, for_gate = (f"model.final_layer.gated.{n}.{k}" for n in ("layers", "gates"))
            value = linear(value, w[f"{for_value}.weight"], w[f"{for_value}.bias"])
            gate = linear(gate, w[f"{for_gate}.weight"], w[f"{for_gate}.bias"])
            if k < 6:
                value, gate = silu(value), silu(gate)
        return (value * gate.sigmoid())[:, 0]

    def _embed(self, kinds, source, target, vectors):
        """First tensors: sums over neighbours of 1, the axial vector and its square."""
        w = self.weights
        pair = self.sent[kinds[source]] + self.received[kinds[target]]
        total = Embed.apply(vectors, target, pair, len(kinds), self.tables[0])
        name = "model.tensor_embedding"
        norm = layer_norm(
            _norm(total),
            (self.n_channels,),
            w[f"{name}.init_norm.weight"],
            w[f"{name}.init_norm.bias"],
        )
        total = _mix(total, [w[f"{name}.linears_tensor.{k}.weight"] for k in range(3)])
        for k in range(2):
            n = f"{name}.linears_scalar.{k}"
            norm = silu(linear(norm, w[f"{n}.weight"], w[f"{n}.bias"]))
        scale = norm.unflatten(1, (self.n_channels, 3)).permute(2, 0, 1)
        return total * torch.repeat_interleave(scale, torch.tensor([1, 3, 6]), 0)

    def _interact(self, x, source, target, distance, layer):
        """One round of messages, each kind of component with radial functions of its own."""
        weights = [
            self.weights[f"model.layers.{layer}.linears_tensor.{k}.weight"] for k in range(6)
        ]
        x = x / (_norm(x) + 1)
        y = _mix(x, weights[:3])
        total = Interact.apply(y, distance, source, target, self.tables[layer + 1])
        full, own = _compose(total), _compose(y)
        update = _decompose(_product(full, own) + _product(own, full))
        update = update / (_norm(update) + 1)
        update = _mix(update, weights[3:])
        full = _compose(update)
        return x + update + _decompose(_product(full, full))


def main():
    """Print the two reference energies per atom beside what they must be."""
    from ase.build import bulk

    calculator = TensorNet(sys.argv[1])
    for formula, a, expected in (("NaCl", 5.64, -3.356), ("MgO", 4.21, -5.864)):
        atoms = bulk(formula, "rocksalt", a=a)
        atoms.calc = calculator
        print(f"{formula}: {atoms.get_potential_energy() / 2:.3f} eV/atom, expected {expected}")


if __name__ == "__main__":
    main()
