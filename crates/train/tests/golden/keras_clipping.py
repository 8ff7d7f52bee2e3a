# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "tensorflow==2.21.0"]
# ///
"""Writes keras_clipping.json: steps of Keras's optimizers with clipped gradients and weight decay.

Run in this folder: `KERAS_BACKEND=tensorflow uv run keras_clipping.py`.

Two parameters, a matrix and a vector, of five steps each. `optimizer` is as a recipe says it.
"""

import json

import keras
import numpy as np

STEPS = 5
CASES = [
    ({"kind": "adam", "learning_rate": 1e-3, "clip": {"norm": 1.0}}, {"clipnorm": 1.0}),
    ({"kind": "adam", "learning_rate": 1e-3, "clip": {"value": 0.5}}, {"clipvalue": 0.5}),
    ({"kind": "adam", "learning_rate": 1e-3, "weight_decay": 0.1}, {"weight_decay": 0.1}),
    ({"kind": "sgd", "learning_rate": 1e-1, "clip": {"norm": 1.0}}, {"clipnorm": 1.0}),
    ({"kind": "sgd", "learning_rate": 1e-1, "momentum": 0.9, "clip": {"global_norm": 1.0}}, {"global_clipnorm": 1.0}),
    ({"kind": "sgd", "learning_rate": 1e-1, "momentum": 0.9, "weight_decay": 0.1}, {"weight_decay": 0.1}),
    (
        {"kind": "rmsprop", "learning_rate": 1e-2, "momentum": 0.5, "clip": {"global_norm": 2.0}, "weight_decay": 0.1},
        {"global_clipnorm": 2.0, "weight_decay": 0.1},
    ),
]
KINDS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}


def trace(settings, extra):
    generator = np.random.default_rng(3)
    plain = {key: value for key, value in settings.items() if key not in ("kind", "clip", "weight_decay")}
    optimizer = KINDS[settings["kind"]](**plain, **extra)
    shapes = {"fc8.weight": (3, 4), "fc8.bias": (3,)}
    init = {name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    variables = {name: keras.Variable(value) for name, value in init.items()}
    steps = []
    for step in range(STEPS):
        # Some norms above the thresholds, some below.
        size = [0.1, 2.0, 0.5, 5.0, 0.0][step]
        grads = {name: (size * generator.normal(size=shape)).astype("float32") for name, shape in shapes.items()}
        optimizer.apply([keras.ops.convert_to_tensor(grads[name]) for name in shapes], list(variables.values()))
        steps.append({
            "grad": {name: grads[name].ravel().tolist() for name in shapes},
            "param": {name: np.asarray(variables[name]).ravel().tolist() for name in shapes},
        })
    return {
        "optimizer": settings,
        "init": {name: init[name].ravel().tolist() for name in shapes},
        "trace": steps,
    }


with open("keras_clipping.json", "w") as file:
    json.dump({"generator": f"keras {keras.__version__}", "cases": [trace(*case) for case in CASES]}, file)
