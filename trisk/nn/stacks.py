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
    head: Any

    def __init__(self, networks: Sequence[StreamNetwork]):
        super().__init__([network.seeds[0] for network in networks])
        self.kind = type(networks[0])
        self.encoder, self.head = copy.deepcopy((networks[0].encoder, networks[0].head))
        for name, own in list(self.named_parameters()):
            values = torch.stack([n.get_parameter(name).detach() for n in networks])
            _set_parameter(self, name, nn.Parameter(values, own.requires_grad))

    def _network(self, seed: int) -> StreamNetwork:
        """A network of the stack's own parts, in which parameters can be put."""
        network = self.kind(self.encoder, self.head)
        network.seeds = [seed]
        return network

    def seed_dropout(self, epoch: int) -> None:
        self._network(self.seeds[0]).seed_dropout(epoch)

    def forward(self, batch: CrystalBatch) -> Any:
        if self.kind is PropertyNetwork:
            return self._batched(PropertyNetwork(self.encoder, self.head), batch)
        near = None if self.head.repulsion is None else self.head.repulsion.pairs(batch)
        energies_of = partial(self._batched, AtomicEnergies(self.encoder, self.head, near))
        positions = batch.positions.expand(self.n_members, -1, -1)
        return differentiate(energies_of, batch, positions, self.training)

    def _batched(self, module: nn.Module, batch: CrystalBatch, *places: Tensor) -> Tensor:
        """Outputs of a module for the parameters and the positions and strains of each network."""

        def one(parameters: dict[str, Tensor], *places: Tensor) -> Tensor:
            return functional_call(module, parameters, (batch, *places))

        return torch.vmap(one)(dict(self.named_parameters()), *places)

    def networks(self) -> list[StreamNetwork]:
        """The networks, each with its own parameters."""
        made = [copy.deepcopy(self._network(seed)) for seed in self.seeds]
        for member, network in enumerate(made):
            for name, own in self.named_parameters():
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
