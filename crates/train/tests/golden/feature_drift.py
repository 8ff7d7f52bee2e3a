# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6"]
# ///
"""Writes feature_drift.json: linear CKA and the mean cosine of features before and after.

Run in this folder: `uv run feature_drift.py`.

CKA is written as in Kornblith et al. (ICML 2019), equation 4, over features: the squared Frobenius
norm of Y'X over those of X'X and Y'Y, in f64.
"""

import json

import numpy as np


def linear_cka(before, after):
    x, y = before - before.mean(0), after - after.mean(0)
    return np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def mean_cosine(before, after):
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return ((before * after).sum(1) / norms).mean()


random = np.random.default_rng(42)
before = np.maximum(random.normal(size=(10, 24)), 0).astype(np.float32)
rotation = np.linalg.qr(random.normal(size=(24, 24)))[0]
cases = []
for after in [
    before + 0.5 * random.normal(size=before.shape),
    3.0 * before @ rotation,
    np.maximum(random.normal(size=before.shape), 0),
]:
    after = after.astype(np.float32)
    wide = before.astype(np.float64), after.astype(np.float64)
    cases.append(
        {
            "images": 10,
            "before": before.ravel().tolist(),
            "after": after.ravel().tolist(),
            "linear_cka": linear_cka(*wide),
            "mean_cosine": mean_cosine(*wide),
        }
    )
with open("feature_drift.json", "w") as file:
    json.dump(cases, file)
    file.write("\n")
print([(case["linear_cka"], case["mean_cosine"]) for case in cases])
