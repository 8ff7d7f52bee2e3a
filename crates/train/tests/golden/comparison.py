# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scipy==1.17.1"]
# ///
"""Writes comparison.json, beside it: the corrected resampled t-test, and the naive paired one.

Run `uv run comparison.py`. The tests of comparison read the result.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy import stats


def compare(first, second, train_images, validation_images):
    differences = np.asarray(second) - np.asarray(first)
    n = len(differences)
    mean = differences.mean()
    factor = 1 / n + validation_images / train_images
    standard_error = np.sqrt(differences.var(ddof=1) * factor)
    t = mean / standard_error
    lower, upper = stats.t.interval(0.95, df=n - 1, loc=mean, scale=standard_error)
    naive = stats.ttest_rel(second, first)
    return {
        "first": list(first),
        "second": list(second),
        "train_images": train_images,
        "validation_images": validation_images,
        "mean_difference": float(mean),
        "t": float(t),
        "p": float(2 * stats.t.sf(abs(t), df=n - 1)),
        "standard_error": float(standard_error),
        "lower": float(lower),
        "upper": float(upper),
        "naive_t": float(naive.statistic),
        "naive_p": float(naive.pvalue),
    }


def of_images(folds, validation_images, rates, seed):
    """Accuracies of two runs that are right of an image as often as `rates` says."""
    random = np.random.RandomState(seed)
    first, second = (random.binomial(validation_images, rate, folds) for rate in rates)
    return first / validation_images, second / validation_images


def main():
    golden = {
        "generator": f"scipy {scipy.__version__}, numpy {np.__version__}",
        "comparisons": [
            compare([0.5, 0.75], [0.625, 0.8125], 16, 16),
            compare([0.9, 0.91, 0.93, 0.88, 0.9], [0.92, 0.92, 0.93, 0.91, 0.9], 400, 100),
            compare(*of_images(15, 362, (0.95, 0.96), 1), 5063, 362),
            compare(*of_images(15, 362, (0.80, 0.95), 2), 5063, 362),
            compare(*of_images(100, 54, (0.90, 0.88), 3), 486, 54),
            compare(*of_images(10, 100, (0.70, 0.70), 4), 900, 100),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
