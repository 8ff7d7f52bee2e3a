# /// script
# requires-python = ">=3.11"
# dependencies = ["scipy==1.17.1"]
# ///
"""Writes beta.json: quantiles of Beta(alpha, alpha). Run in this folder: `uv run beta.py`."""

import json

from scipy.stats import beta

# A quantile of Beta(0.1, 0.1) may lie so near to 0 or 1 that f32 cannot tell it from them.
PROBABILITIES = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9]
ALPHAS = [0.1, 0.2, 0.4, 1.0, 2.0, 8.0]

cases = [
    {"alpha": alpha, "probabilities": PROBABILITIES, "quantiles": [float(beta.ppf(p, alpha, alpha)) for p in PROBABILITIES]}
    for alpha in ALPHAS
]
with open("beta.json", "w") as file:
    json.dump(cases, file, indent=1)
    file.write("\n")
