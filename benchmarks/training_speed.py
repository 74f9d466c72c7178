"""How fast HybridTRIADS trains: trisk against a plain one-model-at-a-time PyTorch loop.

    python benchmarks/training_speed.py [--threads 2] [--full] [--device cpu] [--quick]

On matbench_steels (MATMINER_DATA names its folder), in one run:

1. The published network, milliseconds per step and model: the plain loop, and trisk with 1, 5 and
   25 members in one batch. All take turns; the median of the turns counts.
2. The default recipe for steels, the whole protocol of five official folds, against the plain
   loop's protocol of 5 folds x 5 seeds x 300 epochs, extrapolated from its measured step; --full
   runs that too (some 20 minutes).
3. Where the time goes: shares of the operations, by torch's profiler.

Writes benchmarks/results/training_speed.json (training_speed_cuda.json on a GPU). Exits with an
error if 25 members are less than 2.5 times as fast per model as the plain loop, or the recipe less
than 20 times. --quick takes a few steps only, checks nothing and writes nothing.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from plain_hybrid_triads import BATCH_SIZE, N_EPOCHS, PlainTraining
from profile_operations import profile_shares
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

import trisk

RESULTS = Path(__file__).resolve().parent / "results"
N_FOLDS, N_SEEDS = 5, 5
MEMBER_COUNTS = (1, 5, 25)


class StepClock(Callback):
    """Seconds per step from the end of a warm-up on."""

    def __init__(self, n_warm_up, synchronize):
        self.n_warm_up, self.synchronize = n_warm_up, synchronize

    def on_train_begin(self, net, **kwargs):
        self.n_steps_ = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.tick()

    def tick(self):
        self.n_steps_ += 1
        if self.n_steps_ == self.n_warm_up:
            self.started_ = self._now()
        self.stopped_ = self._now() if self.n_steps_ > self.n_warm_up else None

    def _now(self):
        self.synchronize()
        return time.perf_counter()

    @property
    def ms_per_step(self):
        return 1e3 * (self.stopped_ - self.started_) / (self.n_steps_ - self.n_warm_up)


class Benchmark:
    """The steels data, the device, and how many steps to take."""

    def __init__(self, X, y, device, quick):
        self.X, self.y, self.device, self.quick = X, y, device, quick
        self.table = trisk.composition_pipeline("published")[:-1].fit_transform(X)
        self.folds = list(trisk.matbench_folds("steels").split(X))
        self.synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None

    def published(self, n_members, **settings):
        """The published network through trisk."""
        settings = {"device": self.device, "random_state": 0, **settings}
        return trisk.composition_pipeline("published", n_members=n_members, **settings)["model"]

    def plain(self, fold, seed):
        """Training of one plain network on the very columns trisk's network takes."""
        train, test = self.folds[fold]
        rows, target = self.table.iloc[train], self.y.to_numpy()[train]
        measured = self.published(1, max_epochs=1, device="cpu").fit(rows, target)

        def encode(table):
            scaled = measured.scaler_.transform(table.to_numpy())[:, measured.columns_]
            return torch.from_numpy(scaled.astype(np.float32))

        scaler = measured.target_scaler_
        y = torch.from_numpy(scaler.transform(target[:, None])[:, 0].astype(np.float32))
        training = PlainTraining(encode(rows), y, measured.layout_, seed, self.device)
        return training, encode(self.table.iloc[test]), scaler

    def time_plain(self, training, n_steps):
        """Milliseconds per step of the plain loop."""
        clock = StepClock(3, self.synchronize)
        clock.on_train_begin(None)
        training.model.train()
        while clock.n_steps_ < n_steps:
            for rows in training.batches():
                training.step(rows)
                clock.tick()
        return clock.ms_per_step

    def time_trisk(self, n_members, n_epochs):
        """Milliseconds per step and model of trisk."""
        clock = StepClock(3, self.synchronize)
        train = self.folds[0][0]
        model = self.published(n_members, max_epochs=n_epochs, callbacks=[clock])
        model.fit(self.table.iloc[train], self.y.iloc[train])
        return clock.ms_per_step / n_members

    def compare_steps(self, n_repeats):
        """All contenders in turn; medians in milliseconds per step and model."""
        training = self.plain(0, seed=0)[0]
        n_parameters = sum(p.numel() for p in training.model.parameters())
        epochs = {1: 6, 5: 3, 25: 2}
        turns = {"plain": [], **{f"trisk, {k} members": [] for k in MEMBER_COUNTS}}
        for turn in range(n_repeats):
            print(f"steps of the published network: turn {turn + 1} of {n_repeats}", flush=True)
            turns["plain"].append(self.time_plain(training, 10 if self.quick else 40))
            for k in MEMBER_COUNTS:
                turns[f"trisk, {k} members"].append(
                    self.time_trisk(k, 1 if self.quick else epochs[k])
                )
        plain = np.median(turns["plain"])
        return {
            "plain_parameters": n_parameters,
            "trisk_parameters": self._count_parameters(),
            "repeats": n_repeats,
            "ms_per_step_and_model": {name: float(np.median(v)) for name, v in turns.items()},
            "spread_ms": {name: [min(v), max(v)] for name, v in turns.items()},
            "ratio_to_plain": {
                name: float(plain / np.median(v)) for name, v in turns.items() if name != "plain"
            },
        }

    def _count_parameters(self):
        model = self.published(1, max_epochs=1).fit(self.table, self.y)
        return sum(p.numel() for p in model.net_.module_.parameters())

    def recipe(self, **settings):
        """What trisk recommends for steels, formulas in and predictions out."""
        return trisk.composition_pipeline("steels", device=self.device, random_state=0, **settings)

    def run_recipe(self):
        """The default recipe on all official folds, from formulas to test errors."""
        recipe = self.recipe(**({"max_epochs": 2} if self.quick else {}))
        scoring = "neg_mean_absolute_error"
        started = time.perf_counter()
        results = trisk.cross_validate(
            recipe, self.X, self.y, cv=trisk.matbench_folds("steels"), scoring=scoring
        )
        seconds = time.perf_counter() - started
        nets = [fitted[-1].net_ for fitted in results["estimator"]]
        return {
            "members_per_fold": recipe["model"].n_members,
            "epochs": len(nets[0].history),
            "seconds": seconds,
            "test_mae_mpa": float(-results["test_score"].mean()),
            "test_mae_std_mpa": float(results["test_score"].std()),
        }

    def run_plain_protocol(self):
        """The published protocol with the plain loop: mean of five seeds on each fold."""
        errors, started = [], time.perf_counter()
        for fold, (_, test) in enumerate(self.folds):
            predictions = []
            for seed in range(N_SEEDS):
                training, held_out, scaler = self.plain(fold, seed)
                prediction = training.run().predict(held_out).double().numpy()
                predictions.append(scaler.inverse_transform(prediction[:, None])[:, 0])
                print(f"  plain loop: fold {fold}, seed {seed} done", flush=True)
            errors.append(np.abs(np.mean(predictions, axis=0) - self.y.to_numpy()[test]).mean())
        return {
            "seconds": time.perf_counter() - started,
            "test_mae_mpa": float(np.mean(errors)),
            "test_mae_std_mpa": float(np.std(errors)),
        }

    def compare_protocols(self, plain_ms, full):
        """The recipe's wall time against the plain loop's, measured or extrapolated."""
        print("the recipe on five folds", flush=True)
        recipe = self.run_recipe()
        n_steps = N_EPOCHS * (len(self.folds[0][0]) // BATCH_SIZE)
        extrapolated = N_FOLDS * N_SEEDS * n_steps * plain_ms / 1e3
        plain = {"steps": N_FOLDS * N_SEEDS * n_steps, "seconds_extrapolated": extrapolated}
        if full:
            plain |= self.run_plain_protocol()
        seconds = plain.get("seconds", extrapolated)
        return {"trisk": recipe, "plain": plain, "ratio": seconds / recipe["seconds"]}

    def profile(self):
        """Shares of operations in the plain loop, the published network and the recipe."""
        train = self.folds[0][0]
        X, y = self.table.iloc[train], self.y.iloc[train]
        training = self.plain(0, seed=0)[0]
        recipe = self.recipe(max_epochs=2)
        n_members = recipe["model"].n_members * (1 if self.quick else N_FOLDS)
        recipe.set_params(model__n_members=n_members)
        columns = recipe[:-1].fit_transform(self.X.iloc[train])
        published = self.published(5 if self.quick else 25, max_epochs=1)
        return {
            "plain loop": profile_shares(lambda: self.time_plain(training, 10)),
            f"published network, {published.n_members} members": profile_shares(
                lambda: published.fit(X, y)
            ),
            f"default recipe, {n_members} members": profile_shares(
                lambda: recipe["model"].fit(columns, y)
            ),
        }


def describe_machine(device, threads):
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    return {
        "device": name or platform.machine(),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def print_report(report):
    steps = report["published_network"]
    print(
        f"\nThe published network, ms per step and model (batch of 32; parameters: plain "
        f"{steps['plain_parameters']:,}, trisk {steps['trisk_parameters']:,}):"
    )
    for name, ms in steps["ms_per_step_and_model"].items():
        ratio = steps["ratio_to_plain"].get(name)
        low, high = steps["spread_ms"][name]
        times = "" if ratio is None else f"{ratio:5.2f} times as fast"
        print(f"  {name:20s} {ms:6.2f}  ({low:.2f} to {high:.2f})  {times}")
    trisk_run, plain = report["protocol"]["trisk"], report["protocol"]["plain"]
    print("\nThe steels protocol, five official folds:")
    print(
        f"  trisk's default recipe {trisk_run['seconds']:8.1f} s, test MAE "
        f"{trisk_run['test_mae_mpa']:.1f} MPa ({trisk_run['members_per_fold']} members a fold)"
    )
    if "seconds" in plain:
        print(f"  plain loop {plain['seconds']:8.1f} s, test MAE {plain['test_mae_mpa']:.1f} MPa")
    else:
        print(f"  plain loop {plain['seconds_extrapolated']:8.1f} s, extrapolated from its step")
    print(f"  ratio {report['protocol']['ratio']:.1f}")
    for title, shares in report.get("profile", {}).items():
        print(f"\nWhere the time goes, {title}:")
        for name, share in shares.items():
            print(f"  {name:36s} {share:6.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--full", action="store_true", help="run the plain protocol, too")
    parser.add_argument("--quick", action="store_true", help="a few steps; checks nothing")
    arguments = parser.parse_args()
    try:
        X, y = trisk.load_matbench("steels", download_if_missing=False)
    except FileNotFoundError as error:
        print(f"Skipped: this benchmark trains on real data. {error}")
        return
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        bench = Benchmark(X, y, arguments.device, arguments.quick)
        steps = bench.compare_steps(1 if arguments.quick else arguments.repeats)
        plain_ms = steps["ms_per_step_and_model"]["plain"]
        report = {
            "machine": describe_machine(arguments.device, arguments.threads),
            "published_network": steps,
            "protocol": bench.compare_protocols(plain_ms, arguments.full),
        }
        if arguments.device == "cpu":
            report["profile"] = bench.profile()
    print_report(report)
    if arguments.quick:
        print("\nThese are figures of a few steps; they test the script and mean nothing else.")
        return
    variant = "_cuda" if arguments.device == "cuda" else "_full" if arguments.full else ""
    target = RESULTS / f"training_speed{variant}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if steps["ratio_to_plain"]["trisk, 25 members"] < 2.5 or report["protocol"]["ratio"] < 20:
        sys.exit("the aim (2.5 times a step, 20 times the protocol) was missed")


if __name__ == "__main__":
    main()
