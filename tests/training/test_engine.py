"""One engine for six networks: what each of them can do, all can."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from ase.build import bulk
from nested import make, small_encoder
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PrintLog,
)

from reliability import models
from trisk import estimators
from trisk.estimators import (
    CompositionEncoderRegressor,
    GraphTRIADSRegressor,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
    TrainingOptions,
    TriForcesOptions,
    TriForcesPotential,
    TriForcesPretrainer,
    TriForcesRegressor,
)
from trisk.featurizers import CrystalGraphFeaturizer, ElementFractionFeaturizer
from trisk.nn import to_batch
from trisk.structures import CrystalGraphs, connect, read_structures
from trisk.testing import make_structures
from trisk.training.callbacks import GradientClipping, LearningRate
from trisk.training.checkpoint import fingerprint
from trisk.training.datasets import StructureDataset, pack

_TABLE = {"hidden_dim": 8, "feedforward_dim": 8, "n_frequencies": 4, "n_members": 2}
_GRAPH = {"hidden_dim": 8, "bond_dim": 8, "angle_dim": 4, "feedforward_dim": 8, "max_cycles": 5}
_ENCODER = {"pretrained": small_encoder(), "n_members": 2}
_STREAMS = {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0}
_BRIEF = {"max_epochs": 5, "batch_size": 8, "random_state": 0, "device": "cpu"}


@dataclass(frozen=True)
class Network:
    """One of the six, small, with data to fit, a question to ask, and its trainings in turn."""

    cls: type
    settings: dict
    data: str
    ask: str = "predict"
    in_turn: int = 1

    def make(self, **settings):
        return make(self.cls, **_BRIEF | self.settings | settings)

    def answers(self, model):
        return models.flatten(getattr(model, self.ask)(data(self.data)[0]))


NETWORKS = {
    "hybrid": Network(HybridTRIADSRegressor, _TABLE, "table"),
    "encoder": Network(CompositionEncoderRegressor, _ENCODER, "fractions"),
    "graph": Network(GraphTRIADSRegressor, _GRAPH | {"n_members": 2}, "graphs"),
    "triforces": Network(TriForcesRegressor, _STREAMS | {"n_members": 2}, "structures", in_turn=2),
    "stack": Network(TriForcesRegressor, _STREAMS | {"n_members": 3}, "structures"),
    "potential": Network(TriForcesPotential, _STREAMS, "frames"),
    "pretrainer": Network(
        TriForcesPretrainer, _STREAMS | {"n_slices": 8}, "structures", "transform"
    ),
}
ALL = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
_SUPERVISED = {name: network for name, network in NETWORKS.items() if name != "pretrainer"}
WITH_TARGET = pytest.mark.parametrize("network", _SUPERVISED.values(), ids=_SUPERVISED)


@cache
def data(kind):
    """Samples and a target."""
    if kind == "frames":
        return models.frames(), None
    if kind in ("structures", "graphs"):
        X, y, _ = make_structures(16)
        return (X if kind == "structures" else CrystalGraphFeaturizer().fit_transform(X)), y
    X = models.table()
    if kind == "fractions":
        X = ElementFractionFeaturizer().fit_transform(models.formulas())
    return X, np.random.default_rng(0).gamma(2.0, size=len(X))


def fit(network, **settings):
    return network.make(**settings).fit(*data(network.data))


def assert_same(model, other):
    for net, expected in zip(model.nets_, other.nets_, strict=True):
        weights = expected.module_.state_dict()
        for name, value in net.module_.state_dict().items():
            assert torch.equal(value, weights[name]), name
        for name in {"train_loss", "valid_loss"} & set(expected.history[-1]):
            assert net.history[:, name] == expected.history[:, name]


class At(Callback):
    """Do something at the end of an epoch, counted over all networks of a fit."""

    def __init__(self, epoch, action):
        self.epoch = epoch
        self.action = action
        self.n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        if self.n_epochs == self.epoch:
            self.action()


def fail():
    raise RuntimeError("power failure")


# ------------------------------------------------------------------------------- checkpoints


@ALL
@pytest.mark.parametrize(
    ("settings", "epoch"),
    [({"validation_fraction": 0.25}, 2), ({"averaging": "swa"}, 4)],
    ids=["ema-validation", "swa"],
)
def test_a_training_resumes_to_the_bit(network, settings, epoch, tmp_path):
    if network.cls is TriForcesPretrainer:  # which has no targets to validate
        settings = {k: v for k, v in settings.items() if k != "validation_fraction"}
    settings = settings | ({"dropout": 0.2} if network.cls is TriForcesRegressor else {})
    crash, path = At(epoch, fail), tmp_path / "training"
    with pytest.raises(RuntimeError, match="power failure"):
        fit(network, checkpoint=path, callbacks=[crash], **settings)
    assert_same(fit(network, checkpoint=path, **settings), fit(network, **settings))


@ALL
def test_a_finished_training_is_not_repeated(network, tmp_path):
    path, watch = tmp_path / "training", At(1, fail)
    expected = fit(network, checkpoint=path)
    assert len(list(tmp_path.iterdir())) == network.in_turn, "one file for each"
    assert_same(fit(network, checkpoint=path, callbacks=[watch]), expected)
    assert watch.n_epochs == 0


@ALL
def test_a_finished_training_goes_on_with_more_epochs(network, tmp_path):
    path, crash = tmp_path / "training", At(2, fail)
    settings = {"checkpoint": path, "schedule": "constant"}
    fit(network, max_epochs=2, **settings)
    with pytest.raises(RuntimeError, match="power failure"):
        fit(network, max_epochs=4, callbacks=[crash], **settings)
    for wrong in (3, 5):
        with pytest.raises(ValueError, match=r"of 4 epochs, of which 3 .*max_epochs=4"):
            fit(network, max_epochs=wrong, **settings)
    expected = fit(network, max_epochs=4, schedule="constant")
    assert_same(fit(network, max_epochs=4, **settings), expected)


def test_added_epochs_have_a_schedule_of_their_own(tmp_path):
    network, path = NETWORKS["hybrid"], tmp_path / "training"
    fit(network, checkpoint=path, max_epochs=4)
    net = fit(network, checkpoint=path, max_epochs=8).net_
    rate = dict(net.callbacks)["learning_rate"]
    steps = [rate.factor(step) for step in range(rate.n_steps)]
    assert (rate.first_epoch, rate.n_steps) == (4, 4 * rate.steps_per_epoch)
    assert max(steps) > 0.9
    assert steps[-1] < 0.2
    assert len(net.history) == 8


@ALL
def test_a_checkpoint_of_another_training_is_refused(network, tmp_path):
    path, (X, y) = tmp_path / "training", data(network.data)
    fit(network, checkpoint=path, max_epochs=1)
    with pytest.raises(ValueError, match="belongs to a training with other data, parameters"):
        fit(network, checkpoint=path, ema_decay=0.9, max_epochs=1)
    with pytest.raises(ValueError, match="belongs to a training with other data"):
        network.make(checkpoint=path, max_epochs=1).fit(X[:-1], y if y is None else y[:-1])


def test_a_training_is_known_by_everything_in_its_graphs():
    graphs = connect(read_structures(make_structures(8)[0])[0], 3.0)
    others = [replace(graphs, pbc=~graphs.pbc), connect(graphs, 4.0)]
    target = {"y": np.zeros(8)}
    module = torch.nn.Linear(1, 1)
    sets = [[StructureDataset(g, to_batch, target)] for g in [graphs, *others]]
    found = {fingerprint(Ridge(), used, 0, module) for used in sets}
    other = fingerprint(Ridge(), sets[0], 0, torch.nn.Linear(1, 1))
    assert len({*found, other}) == 4
    # Where an object lies in the memory of a process says nothing of it.
    made = [fingerprint(Ridge(alpha=a), sets[0], 0, module) for a in (object(), object())]
    assert made[0] == made[1]


def test_atoms_of_large_structures_weigh_as_much_as_those_of_small_ones():
    cells = [bulk("Cu") for _ in range(15)] + [bulk("Cu").repeat((5, 5, 4))]
    graphs = connect(read_structures(cells)[0], 3.0)
    weight = np.ones(115)
    dataset = StructureDataset(graphs, to_batch, {}, {"weight": weight})
    sums = {1: [], 100: []}
    for batch, targets in dataset.batches(4, 0):
        sizes = np.bincount(batch.atom_structure.numpy())
        each = targets["weight"] / len(targets["weight"])  # the loss is a mean over atoms
        for size in sums:
            sums[size] += each[np.isin(batch.atom_structure, np.flatnonzero(sizes == size))]
    np.testing.assert_allclose(np.mean(sums[1]), np.mean(sums[100]), rtol=1e-5)


def test_any_damage_to_a_checkpoint_is_noticed(tmp_path):
    path, network = tmp_path / "training", NETWORKS["hybrid"]
    fit(network, checkpoint=path)
    content = path.read_bytes()
    damaged = [b"", content[:-1], content[: len(content) // 2], content + b"0"]
    for position in np.random.default_rng(0).integers(8 * len(content), size=40):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="is no checkpoint of trisk, or it is damaged"):
            fit(network, checkpoint=path)
    path.write_bytes(content)
    fit(network, checkpoint=path)


# ------------------------------------------------------------------------------- training


@ALL
def test_mixed_precision(network):
    """A CPU goes on in single precision; told to mix, it comes near."""

    class Mix(Callback):
        def on_train_begin(self, net, **kwargs):
            assert not net.mixed_precision
            net.mixed_precision = True

    plain = fit(network, max_epochs=2)
    assert_same(fit(network, max_epochs=2, mixed_precision=True), plain)
    mixed = fit(network, max_epochs=2, mixed_precision=True, callbacks=[Mix()])
    losses = [model.net_.history[-1, "train_loss"] for model in (mixed, plain)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert all(p.dtype == torch.float64 for p in mixed.net_.module_.parameters())


@ALL
def test_ctrl_c_leaves_a_fitted_estimator(network):
    handler = signal.getsignal(signal.SIGINT)
    interrupt = At(3, lambda: signal.raise_signal(signal.SIGINT))
    model = network.make(callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt, match="after 3 of 5 epochs"):
        model.fit(*data(network.data))
    assert np.isfinite(network.answers(model)).all()
    assert len(model.nets_) == (3 if network is NETWORKS["stack"] else 1), "those that began"
    assert signal.getsignal(signal.SIGINT) is handler


@ALL
def test_skorch_callback_ends_a_training_early(network):
    stop = EarlyStopping(monitor="train_loss", patience=1, threshold=0.9, sink=lambda _: None)
    model = fit(network, max_epochs=20, callbacks=[("stop", stop)])
    assert 0 < len(model.net_.history) < 20
    assert np.isfinite(network.answers(model)).all()


@WITH_TARGET
def test_skorch_checkpoint_as_it_comes(network, tmp_path):
    settings = {"validation_fraction": 0.25, "n_members": 1, "learning_rate": 0.05}
    keeper = Checkpoint(dirname=str(tmp_path), load_best=True)
    model = fit(network, max_epochs=8, callbacks=[keeper], **settings)
    files = {"params.pt", "optimizer.pt", "criterion.pt", "history.json"}
    assert files == {path.name for path in tmp_path.iterdir()}
    # It loads the epoch that trisk itself restores, averaged as it was validated.
    plain = fit(network, max_epochs=8, **settings)
    weights = plain.net_.module_.state_dict()
    for name, value in torch.load(tmp_path / "params.pt", weights_only=True).items():
        torch.testing.assert_close(value.double(), weights[name].double(), rtol=1e-5, atol=1e-6)
        assert torch.equal(model.net_.module_.state_dict()[name], value.to(weights[name].dtype))
    best = np.array(plain.net_.history[:, "valid_loss_best"])
    losses = np.array(plain.net_.history[:, "valid_loss"])
    assert np.flatnonzero(best)[-1] == losses.argmin() == len(model.net_.history) - 1


@ALL
def test_skorch_log_prints_though_trisk_does_not(network, capsys):
    settings = {} if network.cls is TriForcesPretrainer else {"validation_fraction": 0.25}
    fit(network, max_epochs=3, callbacks=[PrintLog()], **settings)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert len(shown.out.splitlines()) == network.in_turn * (2 + 3), "a header and three epochs"
    assert "train_loss" in shown.out
    assert ("valid_loss" in shown.out) == bool(settings)


@ALL
@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Checkpoint(), r'training__validation_fraction.* monitor="train_loss_best"'),
        (EarlyStopping(), r'training__validation_fraction.* monitor="train_loss"'),
        (EpochScoring("r2"), r"valid_loss in net_.history, or .* trisk.cross_validate"),
        (EpochScoring("r2", on_train=True), "EpochScoring finds no predictions"),
        (EpochScoring("r2", on_train=True, use_caching=False), "EpochScoring finds no predictions"),
        (BatchScoring("neg_mean_absolute_error"), "BatchScoring finds no predictions"),
        (LRScheduler(), "training__schedule sets the learning rate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_skorch_callbacks_that_could_only_fail_or_do_nothing(network, callback, message):
    model = network.make(callbacks=[callback])
    with pytest.raises(ValueError, match=message):
        model.fit(*data(network.data))
    with pytest.raises(NotFittedError):
        network.answers(model)


@ALL
def test_a_function_is_recorded_by_epoch_scoring(network):
    def n_rows(net, dataset, y):
        assert y is None
        return len(dataset)

    scoring = EpochScoring(n_rows, on_train=True, use_caching=False)
    model = fit(network, max_epochs=2, callbacks=[("rows", scoring)])
    assert model.net_.history[:, "n_rows"] == [len(data(network.data)[0])] * 2


@ALL
def test_a_training_that_diverges_is_explained_and_leaves_nothing(network):
    settings = {"learning_rate": 1e30, "max_grad_norm": None, "schedule": "constant"}
    model = network.make(**settings, averaging=None)
    with pytest.raises(FloatingPointError, match="smaller learning_rate"):
        model.fit(*data(network.data))
    with pytest.raises(NotFittedError):
        network.answers(model)


def test_schedules_of_the_learning_rate():
    cosine = [LearningRate("cosine", 100, 10, None).factor(step) for step in range(100)]
    np.testing.assert_allclose(cosine[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert cosine[4:] == sorted(cosine[4:], reverse=True)
    assert cosine[-1] < 1e-3
    late = [LearningRate("cosine", 100, 10, None).factor(step, start=0.25) for step in range(100)]
    assert np.argmax(np.array(late) > 0) == 25
    swa = LearningRate("cosine", 90, 10, 6)
    np.testing.assert_allclose(
        [swa.factor(step) for step in (0, 30, 59, 60, 89)], [1, 0.55, 0.1, 0.5, 0.5], atol=1e-3
    )
    assert {LearningRate("constant", 9, 3, 2).factor(step) for step in range(9)} == {1.0}


def test_gradients_of_each_member_are_clipped_alone():
    class Stack:
        n_members = 2

    parameters = [torch.nn.Parameter(torch.zeros(2, *shape)) for shape in ((3,), (1, 4))]
    for parameter in parameters:
        parameter.grad = torch.stack(
            [p.new_full(p.shape, g) for p, g in zip(parameter, (0.1, 5.0), strict=True)]
        )
    GradientClipping(1.0).on_grad_computed(Stack(), list(enumerate(parameters)))
    members = torch.cat([p.grad.reshape(2, -1) for p in parameters], dim=1)
    torch.testing.assert_close(members, torch.tensor([[0.1], [7**-0.5]]).expand(2, 7))


@WITH_TARGET
def test_validation_and_patience(network):
    settings = {"validation_fraction": 0.25, "learning_rate": 0.05, "schedule": "constant"}
    model = fit(network, patience=1, max_epochs=60, averaging=None, **settings)
    stacked = network is NETWORKS["stack"]
    for net in model.nets_[:1] if stacked else model.nets_:
        n_members = 3 if stacked else net.n_members
        name = "member_valid_loss" if n_members > 1 else "valid_loss"
        losses = np.array(net.history[:, name]).reshape(len(net.history), -1)
        assert losses.shape == (len(net.history), n_members)
        assert len(losses) < 60
        assert (len(losses) - 1 - losses.argmin(0)).min() == 1
    assert np.isfinite(network.answers(model)).all()


@WITH_TARGET
def test_patience_without_validation_rows__is_refused(network):
    with pytest.raises(ValueError, match="set training__validation_fraction"):
        fit(network, patience=3, max_epochs=1)


@ALL
def test_only_verbose_prints(network, capsys):
    fit(network, max_epochs=1)
    assert capsys.readouterr() == ("", "")
    fit(network, max_epochs=1, verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert network.cls.__name__ in shown.err
    assert "1/1" in shown.err
    assert "train_loss" in shown.err


@ALL
def test_fits_in_threads_are_those_of_one(network):
    expected = fit(network, max_epochs=2)
    generator = torch.random.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        fits = list(pool.map(lambda _: fit(network, max_epochs=2), range(4)))
    assert torch.equal(torch.random.get_rng_state(), generator)
    for model in fits:
        assert_same(model, expected)


@pytest.mark.parametrize("name", ["graph", "triforces"])
def test_missing_targets_teach_nothing_and_the_others_do(name):
    X, y = data(NETWORKS[name].data)
    several = np.stack([y, -y, y], axis=1)
    several[::2, 1] = several[3, 2] = np.nan
    model = NETWORKS[name].make(max_epochs=20).fit(X, several)
    found = model.predict(X)
    assert np.isfinite(found).all()
    assert np.corrcoef(found[:, 1], -y)[0, 1] > 0.5
    several[:, 1] = np.nan
    with pytest.raises(ValueError, match="Column 1 of y holds no number"):
        model.fit(X, several)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model.fit(X, np.where(y > y.mean(), np.nan, y))


# ------------------------------------------------------------------------------- parameters


@ALL
def test_nested_parameters(network):
    model = network.cls()
    assert model.network is None
    assert model.training is None
    names = model.get_params(deep=True)
    assert names["training__ema_decay"] == TrainingOptions().ema_decay
    assert clone(model).get_params() == names
    model.set_params(training__ema_decay=0.9, training__patience=3)
    assert (model.training.ema_decay, model.training.patience) == (0.9, 3)
    copy = clone(model).set_params(training__patience=4)
    assert (model.training.patience, copy.training.patience) == (3, 4)
    assert copy.set_params(training=None).get_params() == names
    assert eval(repr(model), vars(estimators)).get_params()["training__patience"] == 3
    with pytest.raises(ValueError, match="Invalid parameter 'decay' for estimator TrainingOptions"):
        model.set_params(training__decay=0.9)
    given = network.cls(training=TrainingOptions(schedule="constant"))
    assert given.get_params()["training__schedule"] == "constant"


def test_options_of_networks_are_parameters_too():
    model = HybridTRIADSRegressor(network=HybridTRIADSOptions(hidden_dim=32))
    model.set_params(network__n_steps=3, network=HybridTRIADSOptions(dropout=0.3))
    assert model.network.get_params() == HybridTRIADSOptions(dropout=0.3, n_steps=3).get_params()
    with pytest.raises(TypeError, match="hidden_dim"):
        HybridTRIADSRegressor(hidden_dim=32)
    with pytest.raises(ValueError, match="'network' parameter of HybridTRIADSRegressor"):
        HybridTRIADSRegressor(network=TriForcesOptions()).fit(*data("table"))
    assert TriForcesRegressor().set_params(network__cutoff=4.0).options("network").cutoff == 4.0


@pytest.mark.filterwarnings("ignore:.*elements that the training set had not:UserWarning")
@pytest.mark.parametrize("name", ["hybrid", "graph", "triforces"])
def test_grid_search(name):
    network = NETWORKS[name]
    grid = {"network__hidden_dim": [8, 16], "training__averaging": [None]}
    search = GridSearchCV(network.make(max_epochs=1), grid, cv=2, error_score="raise")
    best = search.fit(*data(network.data)).best_estimator_
    assert best.network.hidden_dim == search.best_params_["network__hidden_dim"]
    assert best.architecture_["hidden_dim"] == best.network.hidden_dim


# ------------------------------------------------------------------------------- the house


@pytest.mark.parametrize("name", [n for n in estimators.__all__ if n[0].isupper()])
def test_ancestry_is_short(name):
    ancestors = getattr(estimators, name).__mro__
    assert len([cls for cls in ancestors if cls.__module__.startswith("trisk.")]) <= 6


@ALL
def test_few_frames_from_fit_to_the_optimiser(network, monkeypatch):
    depths, step = [], torch.optim.AdamW.step

    def measured(*args, **kwargs):
        frame, n_frames = sys._getframe(1), 0
        while (
            frame is not None
            and frame.f_code.co_name != "test_few_frames_from_fit_to_the_optimiser"
        ):
            n_frames += frame.f_globals["__name__"].startswith(("trisk.", "skorch."))
            frame = frame.f_back
        depths.append(n_frames)
        return step(*args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", measured)
    network.make(max_epochs=1).fit(*data(network.data))
    assert 0 < max(depths) <= 10


# ------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("seed", range(20))
def test_packing_leaves_nothing_out_and_nothing_empty(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 200, size=rng.integers(1, 60))
    n_batches = int(rng.integers(1, len(sizes) + 1))
    batches = pack(sizes, n_batches)
    assert len(batches) == n_batches
    assert all(len(b) for b in batches)
    assert np.array_equal(np.concatenate(batches), np.arange(len(sizes)))


def test_batches_hold_about_equally_many_atoms_and_bonds():
    graphs = CrystalGraphs.concatenate([data("graphs")[0]] * 20)
    dataset = StructureDataset(graphs, lambda part, *_: part, {})
    batches = [batch for batch, _ in dataset.batches(32, epoch=0)]
    costs = [len(b.atomic_numbers) + 0.1 * len(b.bond_lengths) for b in batches]
    assert len(costs) == dataset.n_batches(32) == 10
    assert max(costs) - min(costs) <= 2 * dataset.costs.max()
