# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "numpy==2.4.6", "tensorflow==2.21.0"]
# ///
"""Writes objectives.json: losses that Keras's `fit` minimizes, and their gradients by the logits.

Run in this folder: `KERAS_BACKEND=tensorflow uv run objectives.py`.

A model whose input is the identity has its logits for weights, and an optimizer that stores the gradient where
the weight was shows it after one step. `class_weight` is that of `fit`; where labels are mixed and weighted,
which `fit` cannot say, it is the sum of two losses with sample weights.
"""

import json

import keras
import numpy as np
import tensorflow as tf

BATCH, CLASSES = 6, 5
random = np.random.default_rng(11)
LOGITS = random.normal(scale=2.0, size=(BATCH, CLASSES)).astype("float32")
# Probabilities that Keras clips: one label all but sure and right, one hopelessly wrong.
LOGITS[4] = [20.0, -3.0, 0.0, 1.0, 2.0]
LOGITS[5] = [25.0, 0.0, 1.0, -2.0, 3.0]
LABELS = np.array([3, 0, 1, 4, 0, 2])
PARTNERS = np.array([1, 4, 1, 2, 3, 0])
SHARES = np.array([0.7, 0.7, 0.2, 1.0, 0.0, 0.45], "float32")
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25, 3.0], "float32")


class Reveal(keras.optimizers.SGD):
    """Puts the gradient in the weight's place."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, gradient)


def probabilities(logits):
    """Softmax, in operations that Keras does not recognize and trace back to the logits."""
    exponentials = tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))
    return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)


def one_hot(labels):
    return np.eye(CLASSES, dtype="float32")[labels]


def objective(kind, smoothing):
    return keras.losses.CategoricalCrossentropy(from_logits=kind == "cross-entropy", label_smoothing=smoothing)


def by_fit(kind, smoothing, truth, weights):
    dense = keras.layers.Dense(CLASSES, use_bias=False)
    layers = [keras.Input((BATCH,)), dense]
    if kind != "cross-entropy":
        layers.append(keras.layers.Lambda(probabilities))
    model = keras.Sequential(layers)
    dense.set_weights([LOGITS])
    model.compile(optimizer=Reveal(1.0), loss=objective(kind, smoothing), jit_compile=False)
    class_weight = None if weights is None else dict(enumerate(weights.tolist()))
    history = model.fit(
        np.eye(BATCH, dtype="float32"), truth, batch_size=BATCH, epochs=1, class_weight=class_weight, shuffle=False, verbose=0
    )
    return history.history["loss"][0], dense.get_weights()[0]


def by_two_losses(kind, smoothing):
    logits = tf.Variable(LOGITS)
    loss = objective(kind, smoothing)
    with tf.GradientTape() as tape:
        scores = logits if kind == "cross-entropy" else probabilities(logits)
        value = loss(one_hot(LABELS), scores, sample_weight=SHARES * WEIGHTS[LABELS])
        value += loss(one_hot(PARTNERS), scores, sample_weight=(1 - SHARES) * WEIGHTS[PARTNERS])
    return float(value), tape.gradient(value, logits).numpy()


MIXED = SHARES[:, None] * one_hot(LABELS) + (1 - SHARES)[:, None] * one_hot(PARTNERS)
cases = []
for kind in ["cross-entropy", "keras-2.2-clipped"]:
    for smoothing in [0.0, 0.1]:
        for is_mixed in [False, True]:
            for is_weighted in [False, True]:
                if is_mixed and is_weighted:
                    loss, gradient = by_two_losses(kind, smoothing)
                else:
                    truth = MIXED if is_mixed else one_hot(LABELS)
                    loss, gradient = by_fit(kind, smoothing, truth, WEIGHTS if is_weighted else None)
                cases.append({
                    "kind": kind, "smoothing": smoothing, "is_mixed": is_mixed, "is_weighted": is_weighted,
                    "loss": float(loss), "gradient": gradient.astype(float).ravel().tolist(),
                })

golden = {
    "logits": LOGITS.astype(float).tolist(), "labels": LABELS.tolist(), "partners": PARTNERS.tolist(),
    "shares": SHARES.astype(float).tolist(), "weights": WEIGHTS.astype(float).tolist(), "cases": cases,
}
with open("objectives.json", "w") as file:
    json.dump(golden, file)
    file.write("\n")
