"""Element vectors: mat2vec against its published table, other tables, gensim files."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from trisk.featurizers import FeaturizationError, Mat2VecFeaturizer
from trisk.featurizers.composition.pretrained import table_names

FORMULAS = ["Fe2O3", "GaAs", "Li7La3Zr2O12"]


@pytest.fixture
def small_model():
    """A Word2Vec model over a few element symbols and words."""
    from gensim.models import Word2Vec

    sentences = [["Fe", "oxide", "O"], ["Ga", "As", "semiconductor"], ["Fe", "Ni", "alloy"]] * 5
    return Word2Vec(sentences, vector_size=7, min_count=1, seed=0, workers=1)


def downgrade_to_gensim_3(model):
    """Give a model the attributes under which gensim 3 saved it (mat2vec's release is one)."""
    from gensim.models import word2vec
    from gensim.models.keyedvectors import Vocab

    old = model.wv.__dict__
    old["vocab"] = {key: Vocab(index=i, count=5) for key, i in old.pop("key_to_index").items()}
    old["index2word"] = old.pop("index_to_key")
    for name in ("expandos", "next_index", "norms"):
        del old[name]
    model.vocabulary, model.trainables = word2vec.Word2VecVocab(), word2vec.Word2VecTrainables()
    for name in ("max_vocab_size", "min_count", "sample", "sorted_vocab", "null_word", "raw_vocab"):
        setattr(model.vocabulary, name, model.__dict__.pop(name, None))
    for name in ("hashfxn", "layer1_size", "seed", "syn1neg"):
        setattr(model.trainables, name, model.__dict__.pop(name))
    model.iter = model.__dict__.pop("epochs")
    return model


def test_mat2vec__equals_the_published_table(shared_data):
    table = pd.read_csv(shared_data / "mat2vec_elements.csv.gz", index_col=0)
    X = Mat2VecFeaturizer().fit_transform([*table.index, "Fe2O3", "Ca(OH)2"])
    assert X.columns.tolist() == [f"mat2vec {i}" for i in range(200)]
    np.testing.assert_allclose(X.to_numpy()[:-2], table.to_numpy(), atol=1e-7)
    mean = 0.4 * table.loc["Fe"] + 0.6 * table.loc["O"]
    np.testing.assert_allclose(X.to_numpy()[-2], mean, atol=1e-7)
    mean = 0.2 * table.loc["Ca"] + 0.4 * table.loc["O"] + 0.4 * table.loc["H"]
    np.testing.assert_allclose(X.to_numpy()[-1], mean, atol=1e-7)


def test_mat2vec__does_not_import_the_slow_package():
    code = (
        "import sys; from trisk.featurizers import Mat2VecFeaturizer as F; "
        "F().fit_transform(['Fe2O3']); "
        "slow = {'elementembeddings', 'gensim', 'pymatgen', 'torch', 'matminer', 'umap'}; "
        "sys.exit(str(slow & set(sys.modules)) if slow & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tables__include_the_packages_names():
    assert {"mat2vec", "matscholar", "skipatom", "megnet16", "oliynyk", "xenonpy"} <= set(
        table_names()
    )
    assert {"mace_mp0", "orb_v2", "chgnet", "sevennet"} <= set(table_names())


@pytest.mark.parametrize("name", table_names())
def test_table__by_name__gives_finite_columns_under_its_name(name):
    X = Mat2VecFeaturizer(vectors=name).fit_transform(FORMULAS)
    assert all(column.startswith(f"{name} ") for column in X)
    assert X.columns.is_unique
    assert np.isfinite(X.to_numpy()).all()


def test_table__element_absent__follows_the_missing_policy():
    formulas = ["Fe", "FeRf"]
    fitted = Mat2VecFeaturizer(vectors="megnet16", missing="mean").fit(formulas)
    X = fitted.transform(formulas).to_numpy()
    mean = np.nanmean(
        Mat2VecFeaturizer(vectors="megnet16", missing="nan").fit(formulas).element_values_, axis=0
    )
    np.testing.assert_allclose(X[1], (X[0] + mean) / 2)
    X = Mat2VecFeaturizer(vectors="megnet16", missing="nan").fit_transform(formulas)
    assert X.isna().all(axis=1).tolist() == [False, True]
    with pytest.raises(FeaturizationError, match=r"row 1: 'FeRf': Rf has no vector in 'megnet16'"):
        Mat2VecFeaturizer(vectors="megnet16", missing="raise").fit_transform(formulas)


@pytest.mark.parametrize("kind", ["Word2Vec", "KeyedVectors", "text", "binary", "gensim 3"])
def test_gensim_file__every_format__is_read(tmp_path, small_model, kind):
    vectors = {symbol: small_model.wv[symbol].astype(float) for symbol in ("Fe", "O", "Ga")}
    path = tmp_path / {"text": "small.txt", "binary": "small.bin"}.get(kind, "small")
    if kind == "KeyedVectors":
        small_model.wv.save(str(path))
    elif kind in ("text", "binary"):
        small_model.wv.save_word2vec_format(path, binary=kind == "binary")
    elif kind == "Word2Vec":
        small_model.save(str(path))
    else:
        downgrade_to_gensim_3(small_model).save(str(path), sep_limit=0)
        assert (tmp_path / "small.wv.vectors.npy").is_file()  # as in mat2vec's release
    X = Mat2VecFeaturizer(vectors=path, missing="raise").fit_transform(["Fe2O3", "Ga"])
    assert X.columns.tolist() == [f"small {i}" for i in range(7)]
    np.testing.assert_allclose(X.to_numpy()[0], 0.4 * vectors["Fe"] + 0.6 * vectors["O"], rtol=1e-5)
    np.testing.assert_allclose(X.to_numpy()[1], vectors["Ga"], rtol=1e-5)
    by_string = Mat2VecFeaturizer(vectors=str(path)).fit_transform(["Fe2O3", "Ga"])
    pd.testing.assert_frame_equal(X, by_string)


def test_gensim_file__no_elements_or_no_model__raises(tmp_path):
    from gensim.models import KeyedVectors

    words = KeyedVectors(3)
    words.add_vectors(["oxide", "alloy"], np.ones((2, 3)))
    words.save(str(tmp_path / "words"))
    with pytest.raises(ValueError, match="no vector under an element symbol"):
        Mat2VecFeaturizer(vectors=tmp_path / "words").fit(FORMULAS)
    (tmp_path / "notes").write_text("not a model")
    with pytest.raises(ValueError, match=r"could not read .*notes as gensim"):
        Mat2VecFeaturizer(vectors=tmp_path / "notes").fit(FORMULAS)


def test_vectors__unknown_name__lists_the_tables():
    with pytest.raises(ValueError, match=r"neither a file nor a table.*Did you mean 'mat2vec'"):
        Mat2VecFeaturizer(vectors="matvec").fit(FORMULAS)
