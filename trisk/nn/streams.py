"""Streams that see elements or geometry alone, and the encoder that joins them."""

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn.attention import attend
from trisk.nn.basis import MAX_DEGREE, BesselBasis, real_spherical_harmonics, smooth_cutoff
from trisk.nn.batch import N_ELEMENTS, CrystalBatch

#: All streams, in the order of their blocks.
STREAMS = ("composition", "structure", "interaction")
#: Ways to count atoms: as they are, divided by their common divisor, or as fractions.
STOICHIOMETRIES = ("counts", "reduced", "fractions")

# Share of the variance of an element's vector that says no more than which element it is.
_IDENTITY = 0.01
# Brings the spectra of fourteen crystals from diamond to potassium, at a cutoff of 6 Å, to
# standard deviations between 0.4 and 2.5, whatever the random mixture of radial functions.
_GAIN = 300.0
# Frequencies of the radial basis, its cutoffs as parts of the largest one, and mixtures of them.
_N_RADIAL, _SCALES, _N_CHANNELS = 8, (0.5, 0.75, 1.0), 8
# Rounds of messages, and mixed radial functions that gate them.
_N_ROUNDS, _N_GATES = 2, 8


class ElementVectors(nn.Embedding):
    """A learned vector of width `dim` for every element and one for a hidden element."""

    def __init__(self, dim: int):
        super().__init__(N_ELEMENTS, dim)

    @torch.no_grad()
    def start_from(self, properties: Tensor) -> None:
        """Draw the vectors anew, as a random projection of what is known of the elements.

        Elements that resemble each other then start from vectors that do, so that what is learned
        of one holds for the other. Random vectors must learn all of this from labels. The
        `properties` ``(119, n_properties)``, by atomic number, have mean 0 and variance 1; those
        of the hidden element, in row 0, are not read.
        """
        known = properties[1:].to(self.weight)
        projection = torch.randn(known.shape[1], self.embedding_dim).to(self.weight)
        projection *= torch.sqrt((1 - _IDENTITY) / known.square().sum(1).mean())
        self.reset_parameters()
        self.weight[1:] *= math.sqrt(_IDENTITY)
        self.weight[1:] += known @ projection


class CompositionStream(nn.Module):
    """Transformer over unique elements that equals one over all atoms.

    As in ``docs/networks/triforces.md``. The `stoichiometry` says what the tokens know of their
    counts. With ``"counts"`` and without a class token, only ratios matter, for a constant factor
    leaves a softmax as it is; with a class token, whose count is one, larger cells differ from
    smaller ones. ``"reduced"`` divides counts by their greatest common divisor. ``"fractions"``
    embeds the atomic fraction in the token and gives all tokens equal weight in attention. A
    `class_token` is a learned token that collects the composition's embedding; otherwise it is
    the mean over atoms.

    `forward` takes a :class:`CrystalBatch` and gives embeddings of atoms ``(n_atoms, dim)``,
    equal for all atoms of an element in a structure, and of structures ``(n_structures, dim)``.
    """

    def __init__(
        self,
        dim: int,
        n_layers: int,
        n_heads: int,
        *,
        stoichiometry: str = "counts",
        class_token: bool = False,
    ):
        super().__init__()
        if stoichiometry not in STOICHIOMETRIES:
            raise ValueError(
                f"stoichiometry must be one of {STOICHIOMETRIES}, but is {stoichiometry!r}"
            )
        self.stoichiometry = stoichiometry
        self.embed = ElementVectors(dim)
        if stoichiometry == "fractions":
            self.embed_fraction = nn.Sequential(
                nn.Linear(1, dim // 2), nn.SiLU(), nn.Linear(dim // 2, dim)
            )
        self.class_token = nn.Parameter(0.02 * torch.randn(dim)) if class_token else None
        self.layers = nn.ModuleList(_Block(dim, n_heads) for _ in range(n_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        elements, n_atoms, of_atom = _unique_elements(batch)
        counts = n_atoms.to(self.embed.weight.dtype)
        if self.stoichiometry == "reduced":
            divisors = reduce(torch.gcd, n_atoms.unbind(1))
            counts = counts / divisors.to(counts.dtype).unsqueeze(1)
        x = self.embed(elements)
        weights = counts
        if self.stoichiometry == "fractions":
            x = x + self.embed_fraction((counts / counts.sum(1, keepdim=True)).unsqueeze(-1))
            weights = (counts > 0).to(counts.dtype)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)
            weights = F.pad(weights, (1, 0), value=1.0)
        # The logarithm of zero hides the places that fill up a row.
        bias = weights.log().unsqueeze(1).unsqueeze(1)
        for layer in self.layers:
            x = layer(x, bias)
        x = self.norm(x)
        of_element = x if self.class_token is None else x[:, 1:]
        atoms = of_element.flatten(0, 1).index_select(0, of_atom)
        if self.class_token is not None:
            return atoms, x[:, 0]
        fractions = counts / counts.sum(1, keepdim=True)
        return atoms, (fractions.unsqueeze(-1) * of_element).sum(1)


def _unique_elements(batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Elements of structures and their counts, ``(n_structures, n_elements)``, and atoms' places.

    Places that fill up a row have a count of zero.
    """
    key = batch.atom_structure * N_ELEMENTS + batch.atomic_numbers
    counts = key.new_zeros(len(batch) * N_ELEMENTS).index_add_(0, key, torch.ones_like(key))
    counts = counts.view(len(batch), N_ELEMENTS)
    present = (counts > 0).to(torch.uint8)
    order = present.argsort(dim=1, descending=True, stable=True)[:, : batch.n_elements]
    place = (present.cumsum(1) - 1).flatten().index_select(0, key)
    return order, counts.gather(1, order), batch.atom_structure * batch.n_elements + place


class _Block(nn.Module):
    """Pre-norm attention and feed-forward layer with a bias on the keys."""

    def __init__(self, dim: int, n_heads: int):
        super().__init__()
        if dim % n_heads:
            raise ValueError(f"the width {dim} is no multiple of the {n_heads} heads")
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.update = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.merge(attend(self.project(self.norm(x)), self.n_heads, bias=bias)[0])
        return x + self.update(x)


def coordination(batch: CrystalBatch, cutoff: float) -> Tensor:
    """Count neighbours, each with the weight of the smooth cutoff, ``(n_atoms,)``."""
    weights = smooth_cutoff(batch.lengths / cutoff).unsqueeze(1)
    return batch.sum_over_neighbors(weights, torch.ones_like(weights)).flatten()


class PowerSpectrum(nn.Module):
    """Type-agnostic power spectrum of the neighbours' density around every atom.

    The equations stand in ``docs/networks/triforces.md``, for channels a ≤ a'. The spectrum is
    invariant under rotation, inversion and the order of neighbours, and does not see elements.
    A steep inverse hyperbolic sine compresses it, so that diamond and potassium give numbers of
    the same order.

    `forward` takes a :class:`CrystalBatch`, the :class:`BesselBasis` values of its pairs and the
    :func:`coordination` of its atoms, and gives ``(n_atoms, out_features)``.
    """

    upper: Tensor
    scale: Tensor

    def __init__(self, cutoff: float):
        super().__init__()
        self.basis = BesselBasis(cutoff, _N_RADIAL, _SCALES)
        self.mix = nn.Parameter(torch.empty(self.basis.out_features, _N_CHANNELS))
        nn.init.normal_(self.mix, std=1 / math.sqrt(self.basis.out_features))
        row, column = torch.triu_indices(_N_CHANNELS, _N_CHANNELS)
        self.register_buffer("upper", row * _N_CHANNELS + column, persistent=False)
        weight = torch.where(row == column, _GAIN, _GAIN * math.sqrt(2))
        degrees = torch.arange(MAX_DEGREE + 1).unsqueeze(1)
        self.register_buffer("scale", weight / (2 * degrees + 1).sqrt(), persistent=False)

    @property
    def out_features(self) -> int:
        return self.scale.numel()

    def forward(self, batch: CrystalBatch, radial: Tensor, n_neighbors: Tensor) -> Tensor:
        angular = real_spherical_harmonics(batch.directions)
        # Mixed after the sum, which no weight then stands behind.
        density = batch.sum_over_neighbors(angular, radial) @ self.mix
        density = density * torch.rsqrt(1 + n_neighbors).view(-1, 1, 1)
        spectra = []
        for part in density.split([2 * degree + 1 for degree in range(MAX_DEGREE + 1)], 1):
            table = torch.bmm(part.transpose(1, 2), part).flatten(1)
            spectra.append(table.index_select(1, self.upper))
        return torch.asinh(torch.stack(spectra, 1) * self.scale).flatten(1)


class StructureStream(nn.Module):
    """Embeds atoms by the shape of their surroundings alone, ``(n_atoms, dim)``.

    As in ``docs/networks/triforces.md``: a :class:`PowerSpectrum`, spread by messages.
    """

    def __init__(self, cutoff: float, dim: int):
        super().__init__()
        self.spectrum = PowerSpectrum(cutoff)
        n_features, n_radial = self.spectrum.out_features, self.spectrum.basis.out_features
        self.linear = nn.Linear(n_features, dim)
        self.nonlinear = nn.Sequential(
            nn.Linear(n_features, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim)
        )
        self.mix = nn.Parameter(torch.randn(n_radial, _N_GATES) / math.sqrt(n_radial))
        self.layers = nn.ModuleList(_EnvelopedMessages(dim) for _ in range(_N_ROUNDS))

    def forward(self, batch: CrystalBatch) -> Tensor:
        radial = self.spectrum.basis(batch.lengths)
        n_neighbors = coordination(batch, self.spectrum.basis.cutoff)
        spectrum = self.spectrum(batch, radial, n_neighbors)
        x = self.linear(spectrum) + self.nonlinear(spectrum)
        damping = torch.rsqrt(1 + n_neighbors).index_select(0, batch.links.receivers)
        weights = (batch.links.sum_over_images(radial) @ self.mix) * damping.unsqueeze(1)
        for layer in self.layers:
            x = x + layer(batch, weights, x)
        return x


class _EnvelopedMessages(nn.Module):
    """Messages that fade with the radial functions of their pair."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.send = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Parameter(torch.randn(_N_GATES, dim) / math.sqrt(_N_GATES))
        self.receive = nn.Sequential(nn.Linear(2 * dim, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, batch: CrystalBatch, weights: Tensor, x: Tensor) -> Tensor:
        """Change of the embedding ``(n_atoms, dim)``."""
        normed = self.norm(x)
        message = (batch.links.receive(weights, self.send(normed)) * self.gate).sum(1)
        return self.receive(torch.cat([normed, message], dim=1))


class StreamEmbeddings(NamedTuple):
    """Embeddings of a batch, one block for each stream by name.

    ``atoms`` are normalised, ``(n_atoms, width)``; ``structures`` ``(n_structures, width)`` are
    their means, or the composition's own; ``vectors`` ``(n_atoms, 3, width)`` is the equivariant
    embedding of the interaction stream, from a backbone that has one; ``energies`` ``(n_atoms, 1)``
    are those that a potential reads itself.
    """

    atoms: dict[str, Tensor]
    structures: dict[str, Tensor]
    vectors: Tensor | None
    energies: Tensor | None = None


class TriForcesEncoder(nn.Module):
    """Three streams that see one geometry, each with its own normalised block.

    The composition stream sees elements and their counts, the structure stream positions and the
    lattice, the interaction stream, any :class:`Backbone`, both. `forward` takes a
    :class:`CrystalBatch` and gives :class:`StreamEmbeddings`.
    """

    def __init__(
        self,
        composition: CompositionStream | None = None,
        structure: StructureStream | None = None,
        interaction: nn.Module | None = None,
    ):
        super().__init__()
        if composition is None and structure is None and interaction is None:
            raise ValueError("an encoder needs at least one stream")
        self.composition = composition
        self.structure = structure
        self.interaction = interaction
        self.norms = nn.ModuleDict({k: nn.LayerNorm(v) for k, v in self.widths.items()})

    def start_elements_from(self, properties: Tensor) -> None:
        """Draw the vectors of the elements as :meth:`ElementVectors.start_from` does.

        Backbones of other packages have vectors of their own, which stay as they are.
        """
        for module in self.modules():
            if isinstance(module, ElementVectors):
                module.start_from(properties)

    @property
    def widths(self) -> dict[str, int]:
        """Width of each stream's block, in the order of the blocks."""
        widths = {}
        if self.composition is not None:
            widths["composition"] = self.composition.embed.embedding_dim
        if self.structure is not None:
            widths["structure"] = self.structure.linear.out_features
        if self.interaction is not None:
            widths["interaction"] = int(self.interaction.out_features)  # type: ignore[arg-type]
        return widths

    def forward(self, batch: CrystalBatch) -> StreamEmbeddings:
        atoms, structures, vectors, energies = {}, {}, None, None
        if self.composition is not None:
            of_atoms, of_structures = self.composition(batch)
            norm = self.norms["composition"]
            atoms["composition"] = norm(of_atoms)
            structures["composition"] = norm(of_structures)
        if self.structure is not None:
            atoms["structure"] = self.norms["structure"](self.structure(batch))
        if self.interaction is not None:
            scalars, vectors = self.interaction(batch)
            if getattr(self.interaction, "has_readout", False):
                energies = self.interaction.readout(scalars, batch)  # type: ignore[operator]
            atoms["interaction"] = self.norms["interaction"](scalars)
        for name in atoms:
            if name not in structures:
                structures[name] = batch.structures.mean(atoms[name])
        return StreamEmbeddings(atoms, structures, vectors, energies)
