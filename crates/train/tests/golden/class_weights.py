# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Writes class_weights.json: scikit-learn's balanced class weights. Run in this folder: `uv run class_weights.py`.

scikit-learn gives weights for the classes that are there; those that are not get 0.
"""

import json

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

random = np.random.default_rng(5)
CASES = [
    ([0, 0, 0, 1, 1, 2], 3),
    ([4, 1, 1, 1, 4, 4, 4], 6),
    ([2], 3),
    (random.geometric(0.05, size=400).clip(max=60).tolist(), 64),
]
cases = []
for labels, num_classes in CASES:
    present = np.unique(labels)
    weights = np.zeros(num_classes)
    weights[present] = compute_class_weight("balanced", classes=present, y=np.array(labels))
    cases.append({"labels": labels, "num_classes": num_classes, "weights": weights.tolist()})
with open("class_weights.json", "w") as file:
    json.dump(cases, file)
    file.write("\n")
