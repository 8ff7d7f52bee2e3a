# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6"]
# ///
"""Writes lfw_counts.json: photographs of LFW's people with at least six, and what contiguous folds do.

Run in this folder: `uv run lfw_counts.py LFW`, where LFW holds a folder a person. People are in byte
order of their names. The 15 folds are scikit-learn's `KFold(15)`: 5,425 is 10 folds of 362, 5 of 361.
"""

import json
import sys
from pathlib import Path

import numpy as np

names = sorted((person.name.encode(), len(list(person.glob("*.jpg")))) for person in Path(sys.argv[1]).iterdir())
counts = [count for _, count in names if count >= 6]
labels = np.repeat(np.arange(len(counts)), counts)
unseen = []
for validation in np.array_split(np.arange(len(labels)), 15):
    trained = np.delete(labels, validation)
    unseen.append(float(np.isin(labels[validation], trained, invert=True).mean()))
shares = np.array(counts) / len(labels)
with open("lfw_counts.json", "w") as file:
    json.dump({"counts": counts, "unseen": unseen, "prior_entropy": float(-(shares * np.log(shares)).sum())}, file)
    file.write("\n")
print(len(counts), sum(counts), np.mean(unseen), max(unseen))
