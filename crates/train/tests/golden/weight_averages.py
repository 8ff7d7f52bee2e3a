# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "keras==3.15.1"]
# ///
"""Writes weight_averages.json: averages of a parameter as Keras's `use_ema` and PyTorch's `AveragedModel` keep them.

Run in this folder: `KERAS_BACKEND=torch uv run weight_averages.py`.

`params` is the parameter after each step (or epoch, for the mean), `averages` is the average after it. Both f32.
"""

import json

import keras
import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

STEPS = 6
LENGTH = 5


def ema(momentum):
    generator = np.random.default_rng(7)
    variable = keras.Variable(generator.normal(size=LENGTH).astype("float32"))
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=momentum)
    params, averages = [], []
    for _ in range(STEPS):
        gradient = generator.normal(size=LENGTH).astype("float32")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        params.append(keras.ops.convert_to_numpy(variable).tolist())
        averages.append(keras.ops.convert_to_numpy(optimizer._model_variables_moving_average[0]).tolist())
    return {"averaging": {"kind": "ema", "momentum": momentum}, "params": params, "averages": averages}


def mean():
    generator = np.random.default_rng(8)
    model = torch.nn.Linear(LENGTH, 1, bias=False)
    averaged = AveragedModel(model)
    params, averages = [], []
    for _ in range(STEPS):
        with torch.no_grad():
            model.weight.copy_(torch.tensor(generator.normal(size=(1, LENGTH)).astype("float32")))
        averaged.update_parameters(model)
        params.append(model.weight.detach().ravel().tolist())
        averages.append(averaged.module.weight.detach().ravel().tolist())
    return {"averaging": {"kind": "mean", "from_epoch": 1}, "params": params, "averages": averages}


with open("weight_averages.json", "w") as file:
    json.dump(
        {
            "generator": f"torch {torch.__version__}, keras {keras.__version__}",
            "cases": [ema(0.99), ema(0.5), mean()],
        },
        file,
    )
