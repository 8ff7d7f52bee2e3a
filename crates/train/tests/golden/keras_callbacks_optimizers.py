# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "numpy==2.4.6", "tensorflow-cpu==2.21.0"]
# ///
"""Writes keras_callbacks_optimizers.json, beside it: traces of Keras's callbacks and optimizers.

Run `uv run keras_callbacks_optimizers.py`. A NaN is written as null, since JSON has none. The
callbacks are driven without a model: they see a learning rate that is a Python float and weights
that are the number of the epoch.
"""

import json
import math
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

INITIAL = [1.0, -2.0, 0.5, 0.0]
# From gradients far above epsilon down to one near it and one that is zero.
GRADIENT_SCALES = np.array([1.0, 1e-3, 1e-6, 0.0], "float32")


class Rate:
    """The part of an optimizer that ReduceLROnPlateau touches."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate


class Model:
    """The part of a model that the callbacks touch."""

    def __init__(self, learning_rate=None):
        self.optimizer = Rate(learning_rate)
        self.stop_training = False
        self.weights_epoch = None

    def get_weights(self):
        return self.weights_epoch

    def set_weights(self, weights):
        self.weights_epoch = weights


def without_nan(value):
    return None if isinstance(value, float) and math.isnan(value) else value


def reduce_lr(lr0, values, **args):
    callback = keras.callbacks.ReduceLROnPlateau(**{"mode": "min", **args})
    model = Model(lr0)
    callback.set_model(model)
    callback.on_train_begin()
    trace = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {args["monitor"]: value})
        trace.append(
            {
                "epoch": epoch,
                "value": without_nan(value),
                "lr_after": float(model.optimizer.learning_rate),
                "wait": callback.wait,
                "cooldown": callback.cooldown_counter,
                "best": without_nan(callback.best),
            }
        )
    return {"args": args, "lr0": lr0, "trace": trace}


def early_stopping(values, **args):
    callback = keras.callbacks.EarlyStopping(**{"mode": "min", **args})
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    trace = []
    for epoch, value in enumerate(values):
        model.weights_epoch = epoch
        callback.on_epoch_end(epoch, {args["monitor"]: value})
        trace.append(
            {"epoch": epoch, "value": value, "wait": callback.wait, "stop": model.stop_training}
        )
        if model.stop_training:
            break
    callback.on_train_end()
    return {
        "args": args,
        "trace": trace,
        "weights_epoch_after": model.weights_epoch,
        "best_epoch": callback.best_epoch,
    }


def optimizer(kind, steps, **args):
    instance = kind(**args)
    variable = keras.Variable(np.array(INITIAL, "float32"))
    instance.build([variable])
    draws = np.random.RandomState(0)
    trace = []
    for _ in range(steps):
        gradient = draws.randn(len(INITIAL)).astype("float32") * GRADIENT_SCALES
        instance.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        trace.append({"grad": gradient.tolist(), "param": variable.numpy().tolist()})
    return {"args": args, "init": INITIAL, "trace": trace}


def main():
    falling = [1.0, 0.9, 0.89995, 0.8999, 0.9, 0.95, 0.7]
    falling += [0.71, 0.72, 0.73, 0.74, 0.75, 0.76, 0.77]
    rising = [0.1, 0.2, 0.2, 0.2, 0.25, 0.2, 0.2, 0.2, 0.2]
    nan = math.nan
    loss, accuracy = {"monitor": "val_loss"}, {"monitor": "val_accuracy", "mode": "max"}
    plateau = {"min_delta": 1e-4, "cooldown": 0, "min_lr": 0.0}
    optimizers = keras.optimizers
    golden = {
        "generator": f"keras {keras.__version__}",
        "reduce_lr": [
            reduce_lr(1e-3, falling, **loss, factor=0.1, patience=2, **plateau),
            reduce_lr(1e-3, falling, **loss, factor=0.5, patience=2, **{**plateau, "cooldown": 2}),
            reduce_lr(1e-4, [1.0] * 14, **loss, factor=0.1, patience=3, min_lr=1e-6),
            reduce_lr(
                1e-3, rising, **accuracy, factor=0.2, patience=2,
                min_delta=1e-4, cooldown=1, min_lr=1e-5,
            ),
            reduce_lr(1e-3, [1.0, nan, 0.5, 0.6, 0.7], **loss, factor=0.1, patience=2),
            reduce_lr(1e-3, [nan] * 5, **loss, factor=0.1, patience=2),
            reduce_lr(1e-3, [1.0, 1.0, 0.5, 0.5, 0.5], **loss, patience=0),
        ],
        "early_stopping": [
            early_stopping([1.0, 0.9, 0.91, 0.92], **loss, patience=2, restore_best_weights=True),
            early_stopping([1.0, 1.0], **loss, patience=0),
            early_stopping([1.0, 0.9, 0.8], **loss, patience=0),
            early_stopping(
                [1.0, 0.99, 0.98, 0.97, 0.96], **loss, patience=2, baseline=0.5,
                restore_best_weights=True,
            ),
            early_stopping(
                [1.0, 1.1, 0.9, 0.95, 0.96], **loss, patience=2, start_from_epoch=2,
                restore_best_weights=True,
            ),
            early_stopping([0.1, 0.2, 0.2005, 0.2004], **accuracy, min_delta=0.001, patience=2),
            early_stopping([0.6, 0.4, 0.45, 0.46], **loss, patience=2, baseline=0.5),
            early_stopping([0.9, 0.8, 0.85], **loss, patience=5, restore_best_weights=True),
        ],
        "adam": [
            optimizer(optimizers.Adam, 6),
            optimizer(optimizers.Adam, 6, learning_rate=1e-4),
            optimizer(optimizers.Adam, 6, beta_1=0.5, beta_2=0.9, epsilon=1e-3),
        ],
        "sgd": [
            optimizer(optimizers.SGD, 6, learning_rate=0.01, momentum=0.9),
            optimizer(optimizers.SGD, 6, learning_rate=0.01, momentum=0.9, nesterov=True),
            optimizer(optimizers.SGD, 3),
        ],
        "rmsprop": [
            optimizer(optimizers.RMSprop, 6),
            optimizer(optimizers.RMSprop, 6, learning_rate=1e-4, rho=0.95, epsilon=1e-4),
            optimizer(optimizers.RMSprop, 6, learning_rate=1e-4, momentum=0.9),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
