"""Several networks of one architecture, trained as one batched computation."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trisk.nn.batch import CrystalBatch
from trisk.nn.heads import AtomicEnergies, PotentialNetwork, PropertyNetwork, differentiate
from trisk.nn.members import SeededNetwork

StreamNetwork = PropertyNetwork | PotentialNetwork


class NetworkStack(SeededNetwork):
    """K networks whose parameters are stacked, ``(K, ...)``, under the names that one has.

    Outputs are those of one network with a leading dimension of K. Where a batch is small, a step
    takes the time of two networks for four. All of them drop what the first one drops.
    """

    #: Leading dimensions of parameters that one network does not have.
    n_stacked = 1

    def __init__(self, networks: Sequence[StreamNetwork]):
        super().__init__([network.seeds[0] for network in networks])
        self.template = copy.deepcopy(networks[0])
        for name, own in list(self.template.named_parameters()):
            values = torch.stack([n.get_parameter(name).detach() for n in networks])
            _set_parameter(self.template, name, nn.Parameter(values, own.requires_grad))

    def seed_dropout(self, epoch: int) -> None:
        self.template.seed_dropout(epoch)

    def forward(self, batch: CrystalBatch) -> Any:
        network = self.template
        if isinstance(network, PropertyNetwork):
            return self._batched(network, batch)
        repulsion = network.head.repulsion
        near = None if repulsion is None else repulsion.pairs(batch)
        energies = AtomicEnergies(network.encoder, network.head, near)
        positions, like = (
            t.repeat(self.n_members, *[1] * t.dim()) for t in (batch.positions, batch.lattices)
        )
        energies_of = partial(self._batched, energies)
        return differentiate(energies_of, batch, positions, like, self.training)

    def _batched(self, module: nn.Module, batch: CrystalBatch, *places: Tensor) -> Tensor:
        """Outputs of a module for the parameters and the positions and strains of each network."""

        def one(parameters: dict[str, Tensor], *places: Tensor) -> Tensor:
            return functional_call(module, parameters, (batch, *places))

        return torch.vmap(one)(dict(self.template.named_parameters()), *places)

    def networks(self) -> list[StreamNetwork]:
        """The networks, each with its own parameters."""
        made = [copy.deepcopy(self.template) for _ in self.seeds]
        for member, (network, seed) in enumerate(zip(made, self.seeds, strict=True)):
            network.seeds = [seed]
            for name, own in self.template.named_parameters():
                value = nn.Parameter(own[member].detach().clone(), own.requires_grad)
                _set_parameter(network, name, value)
        return made


class MemberLosses(nn.Module):
    """A criterion of one network for the outputs of a :class:`NetworkStack`, ``(K,)``."""

    def __init__(self, criterion: nn.Module):
        super().__init__()
        self.criterion = criterion
        if hasattr(criterion, "measure"):
            self.measure = criterion.measure

    def forward(self, output: Any, target: Any) -> Tensor:
        return torch.vmap(self.criterion, in_dims=(0, None))(output, target)


def _set_parameter(module: nn.Module, name: str, value: nn.Parameter) -> None:
    owner, _, last = name.rpartition(".")
    setattr(module.get_submodule(owner), last, value)
