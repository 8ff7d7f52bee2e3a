# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Scores of scikit-learn's Ridge on features of length 1, for the linear probe on the frozen base."""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier

PENALTY = 0.3
PEOPLE, IMAGES, UNITS = 3, 40, 6

random = np.random.default_rng(5)
labels = random.choice(PEOPLE, IMAGES, p=[0.6, 0.3, 0.1])
centers = random.normal(size=(PEOPLE, UNITS)) + 1.5
features = (centers[labels] + 2 * random.normal(size=(IMAGES, UNITS))).astype(np.float32)
# In no order, and not all of them.
order = random.permutation(IMAGES)
validation, train = order[:9], order[9:35]

directions = features.astype(np.float64)
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
weights = 1 / np.sqrt(np.bincount(labels[train])[labels[train]])
weights /= weights.mean()
centered = directions[train] - np.average(directions[train], axis=0, weights=weights)
alpha = PENALTY * np.average((centered**2).sum(1), weights=weights)
fit = [directions[train], np.eye(PEOPLE)[labels[train]], weights]
scores = Ridge(alpha=alpha).fit(*fit).predict(directions[validation])
fit = [directions[train], labels[train], weights]
named = RidgeClassifier(alpha=alpha).fit(*fit).predict(directions[validation])
assert (scores.argmax(1) == named).all()

case = {
    "features": features.tolist(),
    "labels": labels.tolist(),
    "train": train.tolist(),
    "validation": validation.tolist(),
    "scores": scores.tolist(),
    "accuracy": float((named == labels[validation]).mean()),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(case) + "\n")
print(case["accuracy"])
