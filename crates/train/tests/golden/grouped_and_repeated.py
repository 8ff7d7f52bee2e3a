# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Writes grouped_and_repeated.json, beside it: scikit-learn's grouped and repeated folds.

Run `uv run grouped_and_repeated.py`. The tests of folds read the result.
"""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.model_selection import (
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
)


def digest(indices):
    """The 32 bytes of the SHA-256 of the indices as little-endian u32."""
    return list(hashlib.sha256(np.asarray(indices).astype("<u4").tobytes()).digest())


def tests(splits):
    return [np.asarray(test).tolist() for _, test in splits]


def grouped(y, groups, k, seed):
    splitter = StratifiedGroupKFold(k, shuffle=seed is not None, random_state=seed)
    y, groups = np.asarray(y).tolist(), np.asarray(groups).tolist()
    test = tests(splitter.split(np.zeros(len(y)), y, groups))
    return {"y": y, "groups": groups, "k": k, "seed": seed, "test": test}


def grouped_at_random(images, classes, groups, k, seed):
    """Labels and groups drawn apart: groups span classes, so that no fold can be even."""
    random = np.random.RandomState(seed + 100)
    y = np.sort(random.randint(0, classes, size=images))
    return grouped(y, random.randint(0, groups, size=images) * 3, k, seed)


def lfw_like():
    counts = [6 + (index * index) % 23 for index in range(311)]
    return counts, np.repeat(np.arange(len(counts)), counts)


def grouped_by_digest(images_per_group, k, seed):
    """As many classes and images as an LFW run; only the digest of all folds is kept."""
    counts, y = lfw_like()
    groups = np.arange(len(y)) // images_per_group
    splits = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    joined = np.concatenate(tests(splits.split(np.zeros(len(y)), y, groups)))
    return {
        "counts": counts,
        "images_per_group": images_per_group,
        "k": k,
        "seed": seed,
        "sha256": digest(joined),
    }


def repeated(kind, y, groups, k, repeats, seed):
    if kind == "grouped":
        # What `_RepeatedSplits` does for the other two, which it has no class for.
        random = np.random.RandomState(seed)
        test = []
        for _ in range(repeats):
            splitter = StratifiedGroupKFold(k, shuffle=True, random_state=random)
            test += tests(splitter.split(np.zeros(len(y)), y, groups))
    else:
        splitters = {"stratified": RepeatedStratifiedKFold, "shuffled": RepeatedKFold}
        splitter = splitters[kind](n_splits=k, n_repeats=repeats, random_state=seed)
        test = tests(splitter.split(np.zeros(len(y)), y))
    case = {"kind": kind, "y": y, "groups": groups, "k": k, "repeats": repeats, "seed": seed}
    return case | {"test": test}


def main():
    warnings.simplefilter("ignore", UserWarning)
    mixed = [2, 2, 0, 1, 0, 1, 2, 0, 1, 1, 0, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2, 1]
    pairs = [image // 2 for image in range(22)]
    alone = list(range(22))
    golden = {
        "generator": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}",
        "grouped": [
            grouped([0] * 6 + [1] * 12, [1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 5, 6, 6, 7, 8, 8, 9, 9], 3, None),
            grouped(mixed, pairs, 3, None),
            grouped(mixed, pairs, 3, 42),
            grouped(mixed, alone, 4, 42),
            # One class is summed along the folds, in numpy's pairwise order.
            grouped([5] * 40, [image // 2 for image in range(40)], 11, 7),
            grouped([5] * 40, [image**2 % 29 for image in range(40)], 9, 1),
            # Rounding puts two of six equal identities into one fold and leaves another empty.
            grouped(np.repeat(np.arange(6), 6), np.repeat(np.arange(6), 6), 6, None),
            grouped_at_random(60, 4, 20, 5, 42),
            grouped_at_random(120, 9, 40, 6, 0),
            grouped_at_random(200, 13, 50, 10, 3),
            grouped_at_random(300, 150, 200, 4, 8),
            grouped_at_random(400, 70, 250, 2, 2**31),
        ],
        "grouped_digest": [
            grouped_by_digest(1, 15, 42),
            grouped_by_digest(2, 15, 42),
            grouped_by_digest(3, 5, 7),
        ],
        "repeated": [
            repeated("stratified", mixed, alone, 4, 3, 42),
            repeated("stratified", mixed, alone, 2, 5, 0),
            repeated("shuffled", mixed, alone, 5, 3, 42),
            repeated("shuffled", mixed, alone, 2, 4, 1),
            repeated("grouped", mixed, pairs, 3, 3, 42),
            repeated("grouped", mixed, alone, 3, 2, 9),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
