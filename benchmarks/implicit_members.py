"""Do members that share their weights learn better than networks of their own?

    python benchmarks/implicit_members.py steels

In TabM (Y. Gorishniy, A. Kotelnikov, A. Babenko, ICLR 2025) all members have the same matrices and
differ only by vectors that scale what goes into a layer and what comes out of it; a random vector
in front of the first layer keeps them apart. Sharing regularises, which ought to help where
boundaries are sharp and rows are few. Members of :mod:`trisk` are whole networks. Both are trained
here, with the recipe of the task, on inner validation folds: no test fold is touched. Writes
``results/implicit_members.json``.
"""

import argparse
import json

import torch
from inner_validation import inner_folds, validate
from matbench import RECIPES, RESULTS, describe_machine, load
from torch import nn

import trisk
from trisk import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.nn import HybridTRIADSNetwork, MemberLinear


class ScaledLinear(MemberLinear):
    """A layer with scales of each member's inputs and outputs."""

    def __init__(self, n_members, in_features, out_features, *, bias, random_signs):
        super().__init__(n_members, in_features, out_features, bias=bias)
        self.random_signs = random_signs
        self.in_scale = nn.Parameter(torch.empty(n_members, 1, in_features))
        self.out_scale = nn.Parameter(torch.empty(n_members, 1, out_features))

    def reset_member(self, member, generator):
        """Draw one member's matrix; its scales are ones, or signs where members shall differ."""
        super().reset_member(member, generator)
        nn.init.ones_(self.in_scale[member])
        nn.init.ones_(self.out_scale[member])
        if self.random_signs:
            drawn = torch.randint(0, 2, self.in_scale[member].shape, generator=generator)
            self.in_scale[member] = 2.0 * drawn - 1.0

    def forward(self, x):
        """Scale, apply the matrix, scale."""
        flat = x.flatten(1, -2) * self.in_scale
        out = torch.bmm(flat, self.weight) * self.out_scale
        if self.bias is not None:
            out = out + self.bias
        return out.view(*x.shape[:-1], self.out_features)


class ImplicitMembersNetwork(HybridTRIADSNetwork):
    """The network of HybridTRIADS; its members share all but head, biases, norms and scales."""

    def reset_parameters(self):
        """Give layers their scales, draw, and tie the copies of every matrix."""
        first = set(self.project.modules()) if hasattr(self, "project") else set()
        for parent in list(self.modules()):
            for name, layer in list(parent.named_children()):
                if type(layer) is MemberLinear and layer is not self.head:
                    scaled = ScaledLinear(
                        *layer.weight.shape,
                        bias=layer.bias is not None,
                        random_signs=layer is self.inject or layer in first,
                    )
                    setattr(parent, name, scaled)
        super().reset_parameters()
        own = ("in_scale", "out_scale", "bias", "gain")
        for name, parameter in self.named_parameters():
            embeds = name.startswith("embed.")
            if embeds or not (name.startswith("head.") or name.rpartition(".")[2] in own):
                parameter.data[:] = parameter.data[:1].clone()
                # Equal copies with equal gradients stay equal; the step is that of one matrix.
                parameter.register_hook(lambda g: g.mean(0, keepdim=True).expand_as(g))


class ImplicitRegressor(HybridTRIADSRegressor):
    """HybridTRIADSRegressor of members that share weights."""

    _module = ImplicitMembersNetwork


class ImplicitClassifier(HybridTRIADSClassifier):
    """HybridTRIADSClassifier of members that share weights."""

    _module = ImplicitMembersNetwork


def main():
    """Score both for some tasks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="+", choices=list(RECIPES))
    parser.add_argument("--outer", type=int, default=5, help="outer training folds to use")
    parser.add_argument("--inner", type=int, default=1, help="validation parts of each")
    parser.add_argument("--members", type=int, nargs="*", default=[8, 32])
    arguments = parser.parse_args()
    path = RESULTS / "implicit_members.json"
    report = json.loads(path.read_text()) if path.is_file() else {"tasks": {}}
    report |= {"machine": describe_machine()}
    for task in arguments.tasks:
        X, y = load(task)
        outer = list(trisk.matbench_folds(task).split(X, y))[: arguments.outer]
        folds = inner_folds(X, y, outer, arguments.inner)
        scores = report["tasks"].setdefault(task, {})
        for n_members in arguments.members:
            pipeline = trisk.composition_pipeline(
                RECIPES[task], n_members=n_members, random_state=0
            )
            implicit = ImplicitClassifier if y.dtype == bool else ImplicitRegressor
            # Clipping the norm of each member's gradient would part the copies.
            settings = pipeline["model"].get_params(deep=False) | {"max_grad_norm": None}
            shared = implicit(**settings)
            models = {"own weights": pipeline["model"], "shared weights": shared}
            for name, model in models.items():
                pipeline.set_params(model=model)
                found = validate(pipeline, X, y, folds, batched=False)
                scores[f"{n_members} members, {name}"] = found | {"splits": len(folds)}
                print(f"{task:14s} {n_members:3d} {name:15s} {found}", flush=True)
                path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
