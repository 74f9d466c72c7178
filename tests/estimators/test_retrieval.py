"""Neighbours by streams: against sums written out, by either index, on disk; what is refused."""

import pickle
import time

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.estimator_checks import parametrize_with_checks

import trisk
from trisk import StructureRetriever, TriForcesPretrainer
from trisk.estimators import TriForcesOptions
from trisk.featurizers import (
    CrystalGraphFeaturizer,
    ElementFractionFeaturizer,
    PowerSpectrumFeaturizer,
)
from trisk.persistence import ModelFileError
from trisk.structures import StructureError
from trisk.testing import make_structures

STREAMS = {"composition": 4, "structure": 6, "interaction": 5}


@parametrize_with_checks(
    [StructureRetriever(pretrainer=None), StructureRetriever(pretrainer=None, index="faiss")]
)
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def embeddings():
    """A table as a pre-trainer gives it, and the blocks of some queries."""
    rng = np.random.default_rng(0)
    names = [f"{stream} {i}" for stream, width in STREAMS.items() for i in range(width)]
    values = rng.normal(size=(240, len(names))) * rng.uniform(0.1, 10, len(names)) + 3
    table = pd.DataFrame(values, columns=names)
    return table[:200], table[200:]


def block(table, stream):
    return table.filter(regex=f"^{stream} ").to_numpy()


def cosine_distances(first, second):
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return 1 - first @ second.T


def written_out(table, queries, weights, metric, standardize):
    """Distances of all queries to all rows, stream by stream."""
    total = 0
    for stream, weight in weights.items():
        rows, others = block(table, stream), block(queries, stream)
        if standardize:
            mean, std = rows.mean(0), rows.std(0)
            rows, others = (rows - mean) / std, (others - mean) / std
        if metric == "cosine":
            part = cosine_distances(others, rows)
        else:
            squares = (others[:, None] - rows) ** 2
            part = squares.mean(-1) if standardize else squares.sum(-1)
        total = total + weight / sum(weights.values()) * part
    return total if metric == "cosine" else np.sqrt(total)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    "streams",
    ["structure", ["composition", "interaction"], {"composition": 3, "structure": 1}, None],
)
@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_kneighbors__any_streams_and_metric__equals_sums_written_out(
    embeddings, streams, metric, standardize, index
):
    table, queries = embeddings
    retriever = StructureRetriever(
        pretrainer=None,
        streams=streams,
        metric=metric,
        standardize=standardize,
        index=index,
        recall=1.0,
    ).fit(table)
    names = STREAMS if streams is None else [streams] if isinstance(streams, str) else streams
    weights = streams if isinstance(streams, dict) else dict.fromkeys(names, 1)
    expected = written_out(table, queries, weights, metric, standardize)
    distances, indices = retriever.kneighbors(queries, 7)
    order = np.argsort(expected, axis=1)[:, :7]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), rtol=2e-5)
    assert sum(retriever.weights_.values()) == pytest.approx(1)


@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_neighbors_of_what_was_fitted__equal_those_of_scikit_learn(embeddings, index):
    table, _ = embeddings
    retriever = StructureRetriever(
        pretrainer=None,
        metric="euclidean",
        standardize=False,
        index=index,
        recall=1.0,
        streams="structure",
    ).fit(table)
    peer = NearestNeighbors().fit(block(table, "structure"))
    for ours, theirs in zip(retriever.kneighbors(), peer.kneighbors(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for mode in ("connectivity", "distance"):
        graph, expected = retriever.kneighbors_graph(mode=mode), peer.kneighbors_graph(mode=mode)
        np.testing.assert_allclose(graph.toarray(), expected.toarray(), rtol=1e-5)
    np.testing.assert_array_equal(
        retriever.kneighbors(table[:9], 3, return_distance=False)[:, 0], np.arange(9)
    )


def test_duplicates__no_row_is_its_own_neighbour(embeddings):
    table = pd.concat([embeddings[0][:20]] * 4, ignore_index=True)
    distances, indices = StructureRetriever(pretrainer=None, n_neighbors=2).fit(table).kneighbors()
    assert (indices != np.arange(80)[:, None]).all()
    assert (indices % 20 == np.arange(80)[:, None] % 20).all()
    np.testing.assert_allclose(distances, 0, atol=1e-6)


def test_constant_column__has_no_say(embeddings):
    table, queries = (frame.copy() for frame in embeddings)
    expected = (
        StructureRetriever(pretrainer=None, streams="structure").fit(table).kneighbors(queries)
    )
    table["structure 6"], queries["structure 6"] = 0.1, 0.1 + 1e-12
    found = StructureRetriever(pretrainer=None, streams="structure").fit(table).kneighbors(queries)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def clustered(n_samples, seed):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(300, 24))
    return centers[rng.integers(300, size=n_samples)] + 0.7 * rng.normal(size=(n_samples, 24))


def test_faiss__reaches_the_recall_that_it_promises_on_fresh_queries():
    table, queries = clustered(20_000, 1), clustered(500, 2)
    exact = (
        StructureRetriever(pretrainer=None)
        .fit(table)
        .kneighbors(queries, 10, return_distance=False)
    )
    recalls, cells = [], []
    for recall in (0.8, 0.98):
        retriever = StructureRetriever(pretrainer=None, index="faiss", recall=recall).fit(table)
        found = retriever.kneighbors(queries, 10, return_distance=False)
        shared = [len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]
        recalls.append(np.mean(shared) / 10)
        cells.append(retriever.n_cells_searched_)
    assert recalls[0] > 0.78
    assert recalls[1] > 0.97
    assert 0 < cells[0] < cells[1] < 313 / 2


def test_faiss__more_neighbours_than_its_cells_hold__are_found_exactly():
    table = clustered(5_000, 1)
    retriever = StructureRetriever(pretrainer=None, index="faiss", recall=0.3).fit(table)
    exact = StructureRetriever(pretrainer=None).fit(table)
    found, expected = (r.kneighbors(table[:3], 4_000) for r in (retriever, exact))
    np.testing.assert_array_equal(np.sort(found[1], 1), np.sort(expected[1], 1))


def test_faiss__does_not_touch_the_threads_of_others(embeddings):
    from threadpoolctl import threadpool_info

    before = [library["num_threads"] for library in threadpool_info()]
    StructureRetriever(pretrainer=None, index="faiss", n_jobs=1).fit(embeddings[0]).kneighbors()
    assert [library["num_threads"] for library in threadpool_info()][: len(before)] == before


def test_faiss__absent__says_what_to_install(embeddings, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        StructureRetriever(pretrainer=None, index="faiss").fit(embeddings[0])


@pytest.fixture(scope="module")
def crystals():
    structures, _, kinds = make_structures(60, random_state=0)
    return structures, kinds


def test_structures__by_power_spectrum__find_their_kind(crystals):
    structures, kinds = crystals
    retriever = StructureRetriever(
        pretrainer=PowerSpectrumFeaturizer(volume_per_atom=20.0), n_neighbors=3
    )
    indices = retriever.fit(structures[:48]).kneighbors(structures[48:], return_distance=False)
    assert (kinds[:48][indices] == kinds[48:, None]).mean() > 0.9


def test_graphs__are_structures_too(crystals):
    structures = crystals[0][:8]
    graphs = CrystalGraphFeaturizer(cutoff=6.0).fit_transform(structures)
    model = StructureRetriever(n_neighbors=2)
    expected = model.fit(structures).kneighbors(structures)[1]
    np.testing.assert_array_equal(model.fit(graphs).kneighbors(graphs)[1], expected)


def test_structures__by_elements__find_their_elements(crystals):
    structures, _ = crystals
    retriever = StructureRetriever(pretrainer=ElementFractionFeaturizer(), standardize=False)
    distances, indices = retriever.fit(structures).kneighbors(structures, 1)
    np.testing.assert_allclose(distances, 0, atol=1e-6)
    assert all(
        structures[i].composition.reduced_formula == structures[j[0]].composition.reduced_formula
        for i, j in enumerate(indices)
    )


def test_table_of_embeddings__stands_for_its_structures(crystals):
    structures, _ = crystals
    featurizer = PowerSpectrumFeaturizer().fit(structures)
    table = featurizer.transform(structures)
    expected = StructureRetriever(pretrainer=featurizer).fit(structures).kneighbors(structures[:5])
    retriever = StructureRetriever(pretrainer=featurizer).fit(table)
    for X in (structures[:5], table[:5]):
        for ours, theirs in zip(retriever.kneighbors(X), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"not fitted\. Fit it to structures first"):
        StructureRetriever(pretrainer=PowerSpectrumFeaturizer()).fit(table)
    with pytest.raises(ValueError, match="The embeddings have the columns"):
        retriever.kneighbors(table.iloc[:5, ::-1])


class Counter(TransformerMixin, BaseEstimator):
    """Embeds a structure by its numbers of atoms and elements; counts its fits."""

    fits = 0

    def fit(self, X, y=None):
        Counter.fits += 1
        self.fitted_ = True
        return self

    def transform(self, X):
        counts = [(len(s), len(set(s.species)), s.volume) for s in X]
        return pd.DataFrame(counts, columns=["structure 0", "composition 0", "structure 1"])


def test_fitted_transformer__is_not_trained_again_by_clones(crystals):
    structures, _ = crystals
    Counter.fits = 0
    fitted = Counter().fit(structures)
    retriever = clone(StructureRetriever(pretrainer=fitted, streams="structure"))
    assert retriever.pretrainer is fitted
    assert retriever.fit(structures).pretrainer_ is fitted
    assert Counter.fits == 1
    retriever = StructureRetriever(pretrainer=Counter()).fit(structures)
    assert Counter.fits == 2
    assert list(retriever.weights_) == ["structure", "composition"]
    assert not hasattr(clone(retriever), "pretrainer_")


@pytest.mark.parametrize("index", ["exact", "faiss"])
@pytest.mark.parametrize("fitted", [True, False])
def test_saved_and_pickled__finds_the_same(crystals, tmp_path, index, fitted):
    structures, _ = crystals
    featurizer = PowerSpectrumFeaturizer(n_radial=3)
    if fitted:
        featurizer.fit(structures)
    retriever = StructureRetriever(pretrainer=featurizer, index=index, streams={"all": 2}).fit(
        structures
    )
    retriever.save(tmp_path / "retriever.trisk")
    expected = retriever.kneighbors(structures[:9])
    for again in (
        trisk.load(tmp_path / "retriever.trisk"),
        pickle.loads(pickle.dumps(retriever)),
    ):
        for ours, theirs in zip(again.kneighbors(structures[:9]), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert again.n_cells_searched_ == retriever.n_cells_searched_
        assert clone(again).fit(structures).n_samples_fit_ == 60
    content = (tmp_path / "retriever.trisk").read_bytes()
    middle = len(content) // 2
    altered = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    (tmp_path / "retriever.trisk").write_bytes(altered)
    with pytest.raises(ModelFileError, match=r"retriever\.trisk"):
        trisk.load(tmp_path / "retriever.trisk")


def test_volume_per_atom__finds_the_prototype_whatever_the_size(crystals):
    known = [bulk("Cu"), bulk("Fe"), bulk("Si"), bulk("NaCl", "rocksalt", a=5.64)]
    queries = [bulk("Pb"), bulk("K"), AseAtomsAdaptor.get_structure(bulk("C"))]
    retriever = StructureRetriever(
        pretrainer=PowerSpectrumFeaturizer(), volume_per_atom=20.0, standardize=False
    ).fit(known)
    distances, indices = retriever.kneighbors(queries, 1)
    assert indices.ravel().tolist() == [0, 1, 2]
    np.testing.assert_allclose(distances, 0, atol=1e-6)
    assert known[0].get_volume() < 12  # copies were scaled
    texts = [structure.to(fmt="cif") for structure in (queries[2], crystals[0][0])]
    assert retriever.kneighbors(texts, 1)[1][0] == 2
    with pytest.raises(StructureError, match=r"row 0: 'quartz\.cif': there is no such file"):
        retriever.kneighbors(["quartz.cif"], 1)


def test_streams_of_triforces__survive_on_disk(crystals, tmp_path):
    structures, _ = crystals
    pretrainer = TriForcesPretrainer(
        network=TriForcesOptions(hidden_dim=8, cutoff=4.0), max_epochs=1, random_state=0
    )
    retriever = StructureRetriever(
        pretrainer=pretrainer.fit(structures[:20]), streams="composition"
    )
    distances, indices = retriever.fit(structures).kneighbors(structures[:10], 1)
    np.testing.assert_allclose(distances, 0, atol=1e-6)
    for i, j in enumerate(indices[:, 0]):
        assert set(structures[i].species) == set(structures[j].species)
    both = StructureRetriever(pretrainer=pretrainer, streams={"structure": 2, "interaction": 1})
    both.fit(structures).save(tmp_path / "retriever.trisk")
    again = trisk.load(tmp_path / "retriever.trisk")
    assert again.weights_ == pytest.approx({"structure": 2 / 3, "interaction": 1 / 3})
    for ours, theirs in zip(
        again.kneighbors(structures[:9]), both.kneighbors(structures[:9]), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_weights_that_ship__tell_composition_from_structure(crystals):
    structures, kinds = crystals
    formulas = np.array([s.composition.reduced_formula for s in structures])
    found = {}
    for streams in ("composition", "structure"):
        retriever = StructureRetriever(streams=streams, volume_per_atom=20.0, n_neighbors=1)
        indices = retriever.fit(structures).kneighbors(return_distance=False)[:, 0]
        found[streams] = np.mean(kinds[indices] == kinds), np.mean(formulas[indices] == formulas)
    assert found["structure"][0] > 0.9 > found["composition"][0]
    assert found["composition"][1] > found["structure"][1]


def test_forged_cells__are_refused(embeddings, tmp_path):
    retriever = StructureRetriever(pretrainer=None, index="faiss").fit(embeddings[0])
    retriever._centers = retriever._centers[:, :-1]
    retriever.save(tmp_path / "forged.trisk")
    with pytest.raises(ModelFileError, match="no cells of vectors with 15 dimensions"):
        trisk.load(tmp_path / "forged.trisk")


def test_transformer_that_cannot_be_stored__is_named(tmp_path, embeddings):
    retriever = StructureRetriever(pretrainer=Counter().fit(None)).fit(embeddings[0])
    with pytest.raises(TypeError, match="Counter, which trisk does not store"):
        retriever.save(tmp_path / "retriever.trisk")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"streams": "geometry"}, "no stream 'geometry'; the embedding has .'composition', 'stru"),
        ({"streams": ["structure", "structure"]}, "names a stream twice"),
        ({"streams": {"structure": -1}}, "must be finite, not negative"),
        ({"streams": {"structure": 0}}, "not all 0"),
        ({"streams": []}, "not all 0"),
        ({"volume_per_atom": 0}, "'volume_per_atom' parameter"),
        ({"metric": "manhattan"}, "'metric' parameter"),
        ({"index": "annoy"}, "'index' parameter"),
        ({"recall": 1.5}, "'recall' parameter"),
        ({"n_neighbors": 0}, "'n_neighbors' parameter"),
    ],
)
def test_wrong_parameters__are_named(embeddings, parameters, message):
    with pytest.raises(ValueError, match=message):
        StructureRetriever(pretrainer=None, **parameters).fit(embeddings[0])


def test_wrong_input__is_named(embeddings, crystals):
    table, queries = embeddings
    retriever = StructureRetriever(pretrainer=None)
    with pytest.raises(NotFittedError):
        retriever.kneighbors(queries)
    retriever.fit(table)
    with pytest.raises(ValueError, match="n_neighbors = 201 and there are 200 structures"):
        retriever.kneighbors(queries, 201)
    with pytest.raises(ValueError, match="n_neighbors = 200 and there are 199 structures"):
        retriever.kneighbors(n_neighbors=200)
    with pytest.raises(ValueError, match=r"positive integer, but is 2\.5"):
        retriever.kneighbors(queries, 2.5)
    with pytest.raises(ValueError, match="must be one of"):
        retriever.kneighbors_graph(queries, mode="graph")
    retriever = StructureRetriever(pretrainer=Counter())
    lost = Structure(np.eye(3) * np.nan, ["Cu"], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"1 structures are not finite, first in rows \[1\]"):
        retriever.fit([crystals[0][0], lost])
    with pytest.raises(FileNotFoundError, match="no model file"):
        StructureRetriever(pretrainer="nowhere.trisk").fit(crystals[0])


def test_exact__thousands_take_no_time():
    table = np.random.default_rng(0).normal(size=(5_000, 64)).astype(np.float32)
    retriever = StructureRetriever(pretrainer=None).fit(table)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        retriever.kneighbors(table[:100])
        seconds.append(time.process_time() - started)
    assert min(seconds) < 1
