# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Writes splits_and_scores.json, beside it: what scikit-learn deals and scores.

Run `uv run splits_and_scores.py`. The tests of folds, numpy_random and metrics read the result.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold, StratifiedKFold

# Permutations longer than this are pinned by their digest alone.
LONGEST_WRITTEN = 400


def digest(indices):
    """The 32 bytes of the SHA-256 of the indices as little-endian u32."""
    return list(hashlib.sha256(np.asarray(indices).astype("<u4").tobytes()).digest())


def shuffled(seed, n):
    permutation = np.arange(n)
    np.random.RandomState(seed).shuffle(permutation)
    case = {"seed": seed, "n": n, "sha256": digest(permutation)}
    if n <= LONGEST_WRITTEN:
        case["perm"] = permutation.tolist()
    return case


def splitter(kind, k, seed):
    return kind(k, shuffle=seed is not None, random_state=seed)


def k_fold(n, k, seed):
    test = [test.tolist() for _, test in splitter(KFold, k, seed).split(np.zeros(n))]
    return {"n": n, "k": k, "seed": seed, "test": test}


def stratified(y, k, seed):
    splits = splitter(StratifiedKFold, k, seed).split(np.zeros(len(y)), y)
    labels = np.unique(y, return_inverse=True)[1].tolist()
    return {"y": labels, "k": k, "seed": seed, "test": [test.tolist() for _, test in splits]}


def stratified_by_digest(counts, k, seed):
    """As many classes and images as an LFW run; only the digest of all folds is kept."""
    y = np.repeat(np.arange(len(counts)), counts)
    splits = splitter(StratifiedKFold, k, seed).split(np.zeros(len(y)), y)
    joined = np.concatenate([test for _, test in splits])
    return {"counts": counts, "k": k, "seed": seed, "sha256": digest(joined)}


def macro_f1(y_true, y_pred):
    score = f1_score(y_true, y_pred, average="macro", zero_division=0)
    return {"y_true": y_true, "y_pred": y_pred, "score": float(score)}


def main():
    warnings.simplefilter("ignore", UserWarning)
    six_six_ten = [0] * 6 + [1] * 6 + [2] * 10
    mixed = [2, 2, 0, 1, 0, 1, 2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2, 1]
    letters = list("bacabccabacb")
    lfw_like = [6 + (index * index) % 23 for index in range(311)]
    labels = np.random.RandomState(5).randint(0, 7, size=(2, 60)).tolist()
    golden = {
        "generator": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}",
        "randomstate_shuffle": [
            shuffled(0, 10),
            shuffled(42, 10),
            shuffled(42, 25),
            shuffled(7, 33),
            shuffled(42, 311),
            shuffled(42, 5425),
            shuffled(2**32 - 1, 1000),
        ],
        "kfold": [
            k_fold(10, 3, None),
            k_fold(17, 5, 42),
            k_fold(31, 15, 42),
            k_fold(31, 15, None),
            k_fold(100, 10, 0),
        ],
        "stratified_kfold": [
            stratified(six_six_ten, 3, None),
            stratified(six_six_ten, 3, 42),
            stratified(mixed, 4, None),
            stratified(mixed, 4, 42),
            stratified(letters, 3, 1),
            stratified(six_six_ten, 7, 42),
        ],
        "stratified_kfold_digest": stratified_by_digest(lfw_like, 15, 42),
        "macro_f1": [
            macro_f1([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1]),
            macro_f1([0, 0, 1, 1], [0, 0, 1, 1]),
            macro_f1([0, 0, 1], [2, 2, 2]),
            macro_f1([0, 0, 0, 1], [0, 0, 3, 3]),
            macro_f1([4, 4, 9], [4, 9, 9]),
            macro_f1(labels[0], labels[1]),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
