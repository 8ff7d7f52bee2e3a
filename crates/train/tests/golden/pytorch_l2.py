# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Writes pytorch_l2.json: steps of PyTorch's optimizers with a `weight_decay` that enters the gradient.

Run in this folder: `uv run pytorch_l2.py`.

Two parameters, a matrix and a vector, of five steps each, in f64. `optimizer` is as a recipe says it. Epsilon is so small
that it does not matter where it is added, which PyTorch and Keras do in different places.
"""

import json

import numpy as np
import torch

STEPS = 5
EPSILON = 1e-20
CASES = [
    ({"kind": "sgd", "learning_rate": 0.1, "l2": 0.05}, {}),
    ({"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "l2": 0.05}, {"momentum": 0.9}),
    (
        {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "l2": 0.05},
        {"momentum": 0.9, "nesterov": True},
    ),
    (
        {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9, "l2": 0.05, "clip": {"global_norm": 1.0}},
        {"momentum": 0.9},
    ),
    (
        {"kind": "adam", "learning_rate": 1e-2, "epsilon": EPSILON, "l2": 0.05},
        {"betas": (0.9, 0.999), "eps": EPSILON},
    ),
    (
        {"kind": "rmsprop", "learning_rate": 1e-2, "rho": 0.9, "epsilon": EPSILON, "l2": 0.05},
        {"alpha": 0.9, "eps": EPSILON},
    ),
    (
        {"kind": "rmsprop", "learning_rate": 1e-2, "rho": 0.9, "momentum": 0.5, "epsilon": EPSILON, "l2": 0.05},
        {"alpha": 0.9, "momentum": 0.5, "eps": EPSILON},
    ),
]
KINDS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}


def trace(settings, extra):
    generator = np.random.default_rng(5)
    shapes = {"fc8.weight": (3, 4), "fc8.bias": (3,)}
    # Rounded to f32, so that both sides start from the same numbers.
    init = {name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    parameters = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in init.items()}
    optimizer = KINDS[settings["kind"]](
        parameters.values(), lr=settings["learning_rate"], weight_decay=settings["l2"], **extra
    )
    steps = []
    for step in range(STEPS):
        size = [0.5, 2.0, 0.1, 5.0, 1.0][step]
        grads = {name: (size * generator.normal(size=shape)).astype("float32") for name, shape in shapes.items()}
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(grads[name], dtype=torch.float64)
        if "clip" in settings:
            torch.nn.utils.clip_grad_norm_(parameters.values(), settings["clip"]["global_norm"])
        optimizer.step()
        steps.append({
            "grad": {name: grads[name].ravel().tolist() for name in shapes},
            "param": {name: parameters[name].detach().numpy().ravel().tolist() for name in shapes},
        })
    return {
        "optimizer": settings,
        "init": {name: init[name].ravel().tolist() for name in shapes},
        "trace": steps,
    }


with open("pytorch_l2.json", "w") as file:
    json.dump({"generator": f"torch {torch.__version__}", "cases": [trace(*case) for case in CASES]}, file)
