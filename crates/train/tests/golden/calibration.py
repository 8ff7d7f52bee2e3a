# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scipy==1.17.1"]
# ///
"""Writes calibration.json, beside it: temperatures by scipy.optimize, reliability by numpy.

Run `uv run calibration.py`. The tests of calibration read the result.
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax


def reliability(confidences, hits, num_bins):
    """As in Guo et al.'s temperature_scaling.py: each bin is open below and closed above."""
    edges = np.arange(num_bins + 1) / num_bins
    bins, error = [], 0.0
    for lower, upper in zip(edges[:-1], edges[1:]):
        inside = (lower < confidences) & (confidences <= upper)
        if lower == 0:
            inside |= confidences == 0
        if inside.any():
            accuracy, confidence = hits[inside].mean(), confidences[inside].mean()
            error += inside.mean() * abs(accuracy - confidence)
            bins.append(
                {
                    "lower": float(lower),
                    "upper": float(upper),
                    "count": int(inside.sum()),
                    "accuracy": float(accuracy),
                    "confidence": float(confidence),
                }
            )
    return bins, float(error)


def reliability_case(confidences, hits, num_bins):
    bins, error = reliability(confidences, hits, num_bins)
    return {
        "confidences": confidences.tolist(),
        "hits": hits.tolist(),
        "num_bins": num_bins,
        "bins": bins,
        "expected_calibration_error": error,
    }


def quality(logits, labels, temperature):
    logs = log_softmax(logits / temperature, axis=1)
    probabilities = np.exp(logs)
    truth = np.eye(logits.shape[1])[labels]
    hits = logits.argmax(axis=1) == labels
    return {
        "cross_entropy": float(-logs[np.arange(len(labels)), labels].mean()),
        "brier": float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        "expected_calibration_error": reliability(probabilities.max(axis=1), hits, 15)[1],
    }


def temperature_case(images, num_classes, scale, strength, seed):
    random = np.random.RandomState(seed)
    labels = random.randint(0, num_classes, images)
    logits = random.normal(size=(images, num_classes))
    logits[np.arange(images), labels] += strength
    rounded = (scale * logits).astype(np.float32)
    logits = rounded.astype(np.float64)

    def loss(log_temperature):
        return quality(logits, labels, np.exp(log_temperature))["cross_entropy"]

    def slope(log_temperature):
        inverse = np.exp(-log_temperature)
        probabilities = np.exp(log_softmax(logits * inverse, axis=1))
        expected = (probabilities * logits).sum(axis=1)
        return (expected - logits[np.arange(images), labels]).mean()

    # The minimum itself is known to half the digits only; the root of the slope to all of them.
    rough = minimize_scalar(loss, bracket=(-1, 1), tol=1e-10).x
    exact = brentq(slope, rough - 0.1, rough + 0.1, xtol=1e-15, rtol=1e-15)
    assert abs(rough - exact) < 1e-6, (rough, exact)
    temperature = float(np.exp(exact))
    return {
        "logits": [float(value) for value in rounded.ravel()],
        "labels": labels.tolist(),
        "num_classes": num_classes,
        "temperature": temperature,
        "before": quality(logits, labels, 1.0),
        "after": quality(logits, labels, temperature),
    }


def main():
    random = np.random.RandomState(3)
    confidences = random.beta(5, 2, 300)
    edges = np.arange(16) / 15
    golden = {
        "generator": f"scipy {scipy.__version__}, numpy {np.__version__}",
        "temperatures": [
            temperature_case(40, 2, 1.0, 1.0, 0),
            temperature_case(120, 10, 5.0, 2.0, 1),
            temperature_case(60, 25, 0.2, 3.0, 2),
            temperature_case(80, 3, 300.0, 0.5, 3),
        ],
        "reliability": [
            reliability_case(confidences, random.rand(300) < confidences**2, 15),
            reliability_case(edges, np.arange(16) % 3 == 0, 15),
            reliability_case(np.array([0.0, 0.1, 0.2, 1.0]), np.array([True, True, False, True]), 4),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
