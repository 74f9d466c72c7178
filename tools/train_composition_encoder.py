"""Train the composition encoder that comes with trisk, and score its weights.

    python -m tools.train_composition_encoder ../shared/data
    python -m tools.train_composition_encoder ../shared/data --score

The folder holds ``mp_formulas_e_form.csv.gz`` (formula, formation energy in eV/atom) and
``mp_formulas_gap.csv.gz`` (formula, PBE band gap in eV) of the Materials Project. 3 % of the
reduced formulas are held out. ``--score`` trains nothing, but scores the weights that are there on
them, beside ExtraTrees on the Magpie descriptors of the same training rows, and adds the scores to
``benchmarks/results/pretraining.jsonl``. Some ten minutes of one quiet core each.
"""

import argparse
import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mean_absolute_error, roc_auc_score
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from benchmarks import store
from trisk.data import data_file
from trisk.featurizers import MagpieFeaturizer, PretrainedFeaturizer
from trisk.featurizers.composition.formulas import CompositionTable, parse_compositions
from trisk.featurizers.composition.ions import integer_counts
from trisk.featurizers.composition.pretrained import load_element_vectors
from trisk.nn import CompositionEncoder, initialize_members
from trisk.structures.elements import ELEMENT_SYMBOLS, impute_element_means, read_element_table

WEIGHTS = data_file("composition_encoder.safetensors")
#: Epochs and learning rate, one after the other, each from the average of the one before.
CYCLES = ((24, 2e-3), (12, 1e-3))
#: What the encoder learns to predict, in the order of its answers.
TARGETS = ("formation energy", "band gap", "largest band gap", "metal")
_METAL = TARGETS.index("metal")

_HIDDEN_ROWS = 0.15  # share of rows in which one element is hidden
_WEIGHTS = (1.0, 1.0, 0.5, 0.5)  # of the losses of the targets
_WEIGHT_HIDDEN = 0.1
_WEIGHT_DECAY, _EMA_DECAY = 0.02, 0.998
_PREDICTION_ROWS = 2048


# Data: tables of calculated properties become one row of targets per reduced formula.


@dataclass(frozen=True)
class FormulaTargets:
    """Reduced formulas and what is known of each: ``TARGETS``, NaN where unknown."""

    table: CompositionTable
    values: np.ndarray


def held_out_rows(n_rows):
    """The rows that are held out of that many reduced formulas: 3 %, the same ones always."""
    return np.sort(np.random.default_rng(0).permutation(n_rows)[: round(0.03 * n_rows)])


def reduced_formulas(X):
    """Write compositions in one form, so that equal ones are equal strings.

    Elements stand in order of atomic number with whole numbers of atoms without a common factor;
    rows whose amounts have no such ratio carry their fractions instead.
    """
    table, errors = parse_compositions(X)
    if errors:
        raise ValueError(f"row {errors[0].row}: {errors[0].formula!r}: {errors[0].cause}")
    counts, decided = integer_counts(table)
    common = np.gcd.reduceat(counts, table.offsets[:-1])[table.rows]
    amounts = np.where(
        decided[table.rows], counts // np.maximum(common, 1), np.round(table.fractions, 6)
    )
    order = np.lexsort((table.elements, table.rows))
    words = [
        f"{ELEMENT_SYMBOLS[z - 1]}{amount:g}"
        for z, amount in zip(table.elements[order], amounts[order], strict=True)
    ]
    joined = ["".join(words[a:b]) for a, b in pairwise(table.offsets)]
    return np.array(joined, dtype=object)


def read_formula_targets(energies, gaps):
    """Read a table of formation energies and one of band gaps, joined and sorted by formula.

    Each has one row per polymorph. The polymorph of lowest energy is found in the table of gaps by
    its unreduced formula; where several share that, their median counts.
    """
    # NaN is a formula, sodium and nitrogen.
    energies = pd.read_csv(energies, keep_default_na=False)
    gaps = pd.read_csv(gaps, keep_default_na=False)
    energies["key"] = reduced_formulas(energies["formula"])
    gaps["key"] = reduced_formulas(gaps["formula"])
    energies = energies.sort_values(["key", "e_form_per_atom_eV"], kind="stable")
    ground = energies.drop_duplicates("key").set_index("key")
    by_key = gaps.groupby("key")["gap_pbe_eV"]
    own = gaps[gaps["formula"].to_numpy() == ground["formula"].reindex(gaps["key"]).to_numpy()]
    gap = by_key.median()
    gap.update(own.groupby("key")["gap_pbe_eV"].median())
    frame = pd.DataFrame({"energy": ground["e_form_per_atom_eV"], "gap": gap})
    frame["largest"] = by_key.max()
    frame["metal"] = (frame["gap"] <= 0).where(frame["gap"].notna()).astype(float)
    frame = frame.sort_index()
    table, _ = parse_compositions(frame.index.tolist())
    return FormulaTargets(table, frame.to_numpy(dtype=np.float64))


def element_properties():
    """Standardised Magpie properties and mat2vec vectors by atomic number, of shape (119, 222)."""
    _, magpie = read_element_table("magpie_elements.csv")
    _, _, mat2vec = load_element_vectors("mat2vec")
    values = impute_element_means(np.hstack([magpie, mat2vec]))
    values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
    values[:, magpie.shape[1] :] /= 3  # 200 components would drown 22 properties
    values[0] = 0
    return np.clip(values, -4, 4).astype(np.float32)


def grouped_batch(table, rows):
    """Rows in the order of a batch, and elements and fractions of those with equally many."""
    rows = rows[np.argsort(table.lengths[rows], kind="stable")]
    batch = table.take(rows)
    lengths, counts = np.unique(batch.lengths, return_counts=True)
    fractions = torch.from_numpy(batch.fractions.astype(np.float32))
    sizes = (counts * lengths).tolist()
    parts = zip(
        torch.from_numpy(batch.elements).split(sizes), fractions.split(sizes), lengths, strict=True
    )
    return rows, [(e.view(-1, length).clone(), f.view(-1, length)) for e, f, length in parts]


# Training.


class _Network(nn.Module):
    """A composition encoder that borrows from element properties and guesses hidden elements.

    Properties are projected and added to the learned vector of each element, so that rare
    elements borrow from like ones.
    """

    def __init__(self, properties, dim, n_layers, embedding_dim):
        super().__init__()
        self.encoder = CompositionEncoder(
            1, dim=dim, n_layers=n_layers, embedding_dim=embedding_dim, n_answers=len(TARGETS)
        )
        self.register_buffer("properties", properties)
        self.property = nn.Linear(properties.shape[1], dim)
        self.guess = nn.Linear(dim, len(properties))

    def element_table(self):
        """The elements' vectors by atomic number."""
        return self.encoder.element + self.property(self.properties)

    def forward(self, groups):
        """Answers of rows, and the vectors of all their elements one after the other."""
        table = self.element_table()
        encoded = [self.encoder.encode(e[None], f[None], table) for e, f in groups]
        # Answers keep single precision where the rest runs in half.
        with torch.autocast("cpu", enabled=False):
            pooled = torch.cat([pooled for _, pooled in encoded], 1).float()
            answers = self.encoder.read(pooled)[1]
        return answers[0], torch.cat([tokens[0].flatten(0, 1) for tokens, _ in encoded])


class EncoderTraining:
    """Training of a composition encoder on calculated properties.

    Three kinds of losses are added: absolute errors of the standardised formation energy and band
    gaps, the cross-entropy of being a metal, and, in 15 % of the rows, the cross-entropy of one
    element that is hidden there. Weights are averaged over steps. ``held_out`` rows are never
    trained on. The learning rate of AdamW warms up over 2 % of the steps, then falls to zero as a
    cosine. ``initial`` are ``arrays`` of an earlier training of the same size to go on from; what
    those do not hold, the guess of hidden elements, is learned anew.
    """

    def __init__(
        self,
        data,
        held_out,
        *,
        dim=128,
        n_layers=3,
        embedding_dim=64,
        max_epochs=24,
        batch_size=512,
        learning_rate=2e-3,
        initial=None,
        random_state=0,
    ):
        self.data, self.held_out = data, held_out
        self.max_epochs, self.batch_size = max_epochs, batch_size
        self.train = np.setdiff1d(np.arange(data.table.n_rows), held_out)
        self.center = np.nanmean(data.values[self.train], axis=0)
        self.scale = np.nanstd(data.values[self.train], axis=0)
        self.center[_METAL], self.scale[_METAL] = 0.0, 1.0
        scaled = (data.values - self.center) / self.scale
        self._targets = torch.from_numpy(scaled.astype(np.float32))
        self._random = np.random.default_rng(random_state)
        with torch.random.fork_rng():
            torch.manual_seed(random_state)
            properties = torch.from_numpy(element_properties())
            self.network = _Network(properties, dim, n_layers, embedding_dim)
            initialize_members(self.network, [random_state])
        if initial is not None:
            self._take(initial)
        groups = {True: [], False: []}
        for name, parameter in self.network.named_parameters():
            groups[not name.endswith(("bias", "gain"))].append(parameter)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": groups[True], "weight_decay": _WEIGHT_DECAY},
                {"params": groups[False], "weight_decay": 0.0},
            ],
            lr=learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        self._steps_per_epoch = max(1, len(self.train) // batch_size)
        n_steps = max_epochs * self._steps_per_epoch
        warm_up = max(1, n_steps // 50)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer,
            lambda step: min((step + 1) / warm_up, 0.5 + 0.5 * np.cos(np.pi * step / n_steps)),
        )
        self.average = AveragedModel(self.network, multi_avg_fn=_move_average)

    @torch.no_grad()
    def _take(self, arrays):
        """Begin with the weights of an earlier training."""
        self.network.encoder.load_arrays({n: torch.from_numpy(a) for n, a in arrays.items()})
        # The arrays hold whole element vectors; what properties explain of them is added later.
        self.network.encoder.element -= self.network.property(self.network.properties)

    def fit(self, report=None):
        """Train; ``report`` is called with one line of text after every epoch."""
        started = time.perf_counter()
        for epoch in range(1, self.max_epochs + 1):
            order = self._random.permutation(self.train)
            batches = np.array_split(order, self._steps_per_epoch)
            loss, guess = np.mean([self._step(rows) for rows in batches], axis=0)
            if report is None:
                continue
            line = f"epoch {epoch:3d} {time.perf_counter() - started:6.0f} s"
            line += f" loss {loss:.4f} hidden element {guess:.3f}"
            if len(self.held_out) and (epoch % 4 == 0 or epoch == self.max_epochs):
                scores = self.score(self.held_out)
                line += "".join(f", {name} {value:.4f}" for name, value in scores.items())
            report(line)
        return self

    def _step(self, rows):
        """One step on some rows; return the losses of targets and of hidden elements."""
        rows, groups = grouped_batch(self.data.table, rows)
        elements = torch.cat([elements.flatten() for elements, _ in groups])
        hidden, hides = self._hide(groups)
        # Half the memory traffic and twice the rate; weights stay in single precision.
        with torch.autocast("cpu", torch.bfloat16):
            answers, tokens = self.network(groups)
            guesses = self.network.guess(tokens[hidden]).float()
        target = self._targets[torch.from_numpy(rows)]
        known = ~target.isnan() & ~hides[:, None]
        target = target.nan_to_num()
        errors = (answers - target).abs()
        errors[:, _METAL] = F.binary_cross_entropy_with_logits(
            answers[:, _METAL], target[:, _METAL], reduction="none"
        )
        per_target = (errors * known).sum(0) / known.sum(0).clamp_min(1)
        loss = per_target @ per_target.new_tensor(_WEIGHTS)
        # A small batch may hide nothing.
        guess = F.cross_entropy(guesses, elements[hidden], reduction="sum")
        guess = guess / hidden.sum().clamp_min(1)
        self._optimizer.zero_grad()
        (loss + _WEIGHT_HIDDEN * guess).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._schedule.step()
        self.average.update_parameters(self.network)
        return loss.item(), guess.item()

    def _hide(self, groups):
        """Hide one element in some of the rows of several elements; say which, and where."""
        hidden, hides = [], []
        for elements, _ in groups:
            n_rows, length = elements.shape
            of_row = (self._random.random(n_rows) < _HIDDEN_ROWS) & (length > 1)
            mask = np.zeros((n_rows, length), dtype=bool)
            mask[np.arange(n_rows), self._random.integers(length, size=n_rows)] = of_row
            elements[torch.from_numpy(mask)] = 0
            hidden.append(mask.ravel())
            hides.append(of_row)
        return torch.from_numpy(np.concatenate(hidden)), torch.from_numpy(np.concatenate(hides))

    @torch.inference_mode()
    def predict(self, rows):
        """Targets of some rows in their units (of being a metal, the logit), by the average."""
        answers = np.empty((len(self.data.values), len(TARGETS)))
        for part in np.array_split(rows, len(rows) // _PREDICTION_ROWS + 1):
            ordered, groups = grouped_batch(self.data.table, part)
            answers[ordered] = self.average.module(groups)[0].numpy()
        return answers[rows] * self.scale + self.center

    def score(self, rows):
        """Absolute errors (eV/atom, eV, eV) and the area under the curve for metals."""
        scores = {}
        for name, target, answer in zip(
            TARGETS, self.data.values[rows].T, self.predict(rows).T, strict=True
        ):
            known = ~np.isnan(target)
            score = roc_auc_score if name == "metal" else mean_absolute_error
            scores[name] = float(score(target[known], answer[known]))
        return scores

    def arrays(self):
        """Averaged weights as the featurizer reads them.

        ``element`` holds the whole vectors of the elements, ``center`` and ``scale`` turn answers
        into the units of the targets.
        """
        module = self.average.module
        state = {name: value.numpy() for name, value in module.encoder.arrays().items()}
        state["element"] = module.element_table().detach()[0].numpy()
        state["center"] = self.center.astype(np.float32)
        state["scale"] = self.scale.astype(np.float32)
        return state

    def save(self, path):
        """Write arrays and the names of the targets, no code, into a safetensors file."""
        arrays = {name: np.ascontiguousarray(value) for name, value in self.arrays().items()}
        save_file(arrays, path, metadata={"targets": json.dumps(TARGETS)})


@torch.no_grad()
def _move_average(averages, current, n_averaged):
    """Exponential average whose memory grows with the steps made, up to some 500."""
    n_averaged = float(n_averaged)
    decay = min(_EMA_DECAY, (1 + n_averaged) / (10 + n_averaged))
    torch._foreach_lerp_(list(averages), list(current), 1 - decay)


# The command.


def train(data, held_out, weights):
    """Train in cycles and write the weights."""
    arrays = None
    for cycle, (epochs, learning_rate) in enumerate(CYCLES):
        training = EncoderTraining(
            data,
            held_out,
            max_epochs=epochs,
            learning_rate=learning_rate,
            initial=arrays,
            random_state=cycle,
        )
        arrays = training.fit(report=lambda line: print(line, flush=True)).arrays()
    training.save(weights)


def encoder_scores(data, rows, weights):
    """Errors of the columns that the featurizer gives."""
    columns = PretrainedFeaturizer(weights=weights).fit_transform(data.table.formulas[rows])
    known = ~np.isnan(data.values[rows, 1])
    energy, gap, _, metal = columns.to_numpy()[:, :4].T
    values = data.values[rows]
    return {
        "formation energy": mean_absolute_error(values[:, 0], energy),
        "band gap": mean_absolute_error(values[known, 1], gap[known]),
        "metal": roc_auc_score(values[known, 3], metal[known]),
    }


def forest_scores(data, train, test):
    """Errors of one forest for energies and one for gaps, where they are known."""
    X = MagpieFeaturizer().fit_transform(data.table.formulas).to_numpy(np.float32)
    scores = {}
    for column, name in enumerate(("formation energy", "band gap")):
        known = ~np.isnan(data.values[:, column])
        fitted, scored = train[known[train]], test[known[test]]
        forest = ExtraTreesRegressor(100, random_state=0, max_features=0.33)
        predicted = forest.fit(X[fitted], data.values[fitted, column]).predict(X[scored])
        scores[name] = mean_absolute_error(data.values[scored, column], predicted)
    return scores | {"metal": roc_auc_score(data.values[scored, 3], -predicted)}


def main():
    """Train and write the weights, or score them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the two CSV files")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="file to write or to score")
    parser.add_argument("--score", action="store_true", help="train nothing, score the weights")
    arguments = parser.parse_args()
    data = read_formula_targets(
        arguments.data / "mp_formulas_e_form.csv.gz", arguments.data / "mp_formulas_gap.csv.gz"
    )
    held_out = held_out_rows(data.table.n_rows)
    if not arguments.score:
        train(data, held_out, arguments.weights)
        return
    rows = np.setdiff1d(np.arange(data.table.n_rows), held_out)
    scores = {
        "composition encoder": encoder_scores(data, held_out, arguments.weights),
        "composition encoder, training rows": encoder_scores(data, rows, arguments.weights),
        "ExtraTrees, Magpie": forest_scores(data, rows, held_out),
    }
    cell = {"task": "held-out formulas", "split": "3 %", "fold": 0, "parameters": {}}
    about = {"seconds": None, **store.provenance()}
    for model, values in scores.items():
        print(model, values)
        metrics = {f"{n}, {'ROC-AUC' if n == 'metal' else 'MAE'}": v for n, v in values.items()}
        store.append(
            "pretraining",
            [
                {**cell, "model": model, "metric": m, "value": v, **about}
                for m, v in metrics.items()
            ],
        )


if __name__ == "__main__":
    main()
