import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score

from trisk.datasets import load_matbench
from trisk.model_selection import matbench_folds
from trisk.model_selection._folds import shuffled_folds

# Numbers of the test rows of mb-steels in folds 0-4, as matbench's repository publishes them
# (matbench/tests/msonability_matbench_steels.json).
PUBLISHED_STEELS = (
    """3 5 20 26 27 32 35 41 45 46 64 66 68 71 72 76 77 89 93 96 104 106 108 111 120 122 128 133
    138 141 146 161 174 175 177 179 181 182 196 209 210 225 232 234 242 244 252 254 257 266 267
    269 272 273 275 281 283 290 294 300 303 309 310""",
    """4 9 10 12 24 30 40 47 60 62 67 69 90 94 97 99 100 110 112 114 117 118 124 135 137 139 142
    143 148 151 152 155 156 158 166 180 184 185 189 190 191 192 198 201 212 215 216 226 230 231
    236 238 248 251 263 274 278 279 287 288 297 298 302""",
    """17 19 21 23 33 48 53 54 59 65 70 74 78 80 81 83 84 87 102 107 121 123 125 127 131 132 140
    149 153 157 162 163 164 165 168 169 172 186 193 194 202 207 208 213 214 217 218 220 222 223
    235 237 241 255 258 259 260 277 284 289 301 307""",
    """2 7 14 22 31 34 42 43 44 49 50 52 56 57 58 63 73 82 86 88 91 92 95 105 113 119 126 130 147
    154 167 171 173 176 183 188 195 200 203 206 221 227 228 243 245 247 249 253 256 261 265 270
    271 276 280 285 286 291 293 295 304 305""",
    """1 6 8 11 13 15 16 18 25 28 29 36 37 38 39 51 55 61 75 79 85 98 101 103 109 115 116 129 134
    136 144 145 150 159 160 170 178 187 197 199 204 205 211 219 224 229 233 239 240 246 250 262
    264 268 282 292 296 299 306 308 311 312""",
)


def test_matbench_folds__steels__are_the_published_ones():
    for (train, test), published in zip(
        matbench_folds("steels").split(np.zeros(312)), PUBLISHED_STEELS, strict=True
    ):
        numbers = np.array(published.split(), dtype=int)
        np.testing.assert_array_equal(test + 1, numbers)
        assert set(train) == set(range(312)) - set(test)


def test_matbench_folds__real_steels__rows_sit_where_matbench_has_them(matbench_dir):
    X, y = load_matbench("steels")
    train, test = next(matbench_folds("steels").split(X, y))
    # Positions and values from matbench/tests/test_task.py.
    assert X.index[test[12]] == "mb-steels-068"
    assert y.iloc[test[12]] == 1241.0
    assert X.index[train[75]] == "mb-steels-095"
    assert y.iloc[train[75]] == 1369.5


def test_matbench_folds__real_glass__stratified_folds_are_the_published_ones(matbench_dir):
    X, y = load_matbench("glass")
    train, test = next(matbench_folds("glass").split(X, y))
    assert [int(name[-4:]) for name in X.index[test[:9]]] == [1, 7, 18, 22, 23, 26, 28, 29, 31]
    assert (X.index[test[12]], X.iloc[test[12]]) == ("mb-glass-0056", "Al13VCu6")
    assert (X.index[train[480]], X.iloc[train[480]]) == ("mb-glass-0600", "Ce2Al5Cu43")


@pytest.mark.parametrize(
    ("arguments", "splitter"),
    [
        ({}, KFold),
        ({"classification": False}, KFold),
        ({"classification": True}, StratifiedKFold),
        ({"task": "matbench_expt_is_metal"}, StratifiedKFold),
        ({"task": "glass", "classification": True}, StratifiedKFold),
        ({"task": "phonons"}, KFold),
    ],
)
def test_matbench_folds__task_or_kind__chooses_the_splitter(arguments, splitter):
    folds = matbench_folds(**arguments)
    assert type(folds) is splitter
    assert folds.get_n_splits() == 5


def test_matbench_folds__scikit_learn_cv__works():
    y = np.arange(50.0)
    assert cross_val_score(DummyRegressor(), np.zeros((50, 1)), y, cv=matbench_folds()).shape == (
        5,
    )


def test_matbench_folds__contradiction__raises():
    with pytest.raises(ValueError, match="'steels' is a regression task"):
        matbench_folds("steels", classification=True)


def test_matbench_folds__unknown_task__suggests_one():
    with pytest.raises(ValueError, match="Did you mean 'phonons'"):
        matbench_folds("phonon")


def test_number_of_folds__means_shuffled_ones():
    y = np.repeat([0, 1], 20)
    for classification in (False, True):
        folds = shuffled_folds(4, y, y, classification=classification)
        assert len(folds) == 4
        assert any(np.diff(test).max() > 1 for _, test in folds)
        if classification:
            assert all(y[test].mean() == 0.5 for _, test in folds)
    plain = shuffled_folds(KFold(4), y, y, classification=False)
    assert plain[0][1].tolist() == list(range(10))
