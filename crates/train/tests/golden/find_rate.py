# /// script
# requires-python = ">=3.11"
# dependencies = ["fastai==2.8.12", "torch==2.15.0", "numpy==2.4.6"]
# ///
"""Writes find_rate.json: what fastai's learning-rate finder makes of losses. Run in this folder: `uv run find_rate.py`.

The finder's parts are taken by name from the installed package's source, without importing the package, which would
bring all of its dependencies; what `lr_find` does between them, it does in a method of the learner, and stands here again.
"""

import ast
import importlib.util
import json
import math
import pathlib

import numpy as np
import torch
from torch import tensor

PACKAGE = pathlib.Path(importlib.util.find_spec("fastai").origin).parent


class Metric: ...


class ParamScheduler:
    def after_batch(self): ...


class CancelFitException(Exception): ...


def taken(file, *names):
    """These definitions of a file of the package, by name."""
    tree = ast.parse((PACKAGE / file).read_text())
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    for node in tree.body:
        node.decorator_list = []
    space = {
        "torch": torch, "tensor": tensor, "np": np, "to_detach": lambda it: it, "Metric": Metric,
        "ParamScheduler": ParamScheduler, "CancelFitException": CancelFitException,
    }
    exec(compile(tree, file, "exec"), space)
    return [space[name] for name in names]


valley, steep, minimum, LRFinder = taken("callback/schedule.py", "valley", "steep", "minimum", "LRFinder")
(AvgSmoothLoss,) = taken("learner.py", "AvgSmoothLoss")


class Batch:
    """A learner as `AvgSmoothLoss` sees it."""

    def __init__(self, loss):
        self.loss = tensor(loss)


def smoothed(losses, steps):
    """The smoothed losses up to where the finder stops, and whether it stopped before its steps were done."""
    average = AvgSmoothLoss()
    average.reset()
    # Without its constructor, which makes a schedule of rates that is not looked at.
    finder = LRFinder.__new__(LRFinder)
    finder.num_it, finder.stop_div, finder.best_loss = steps, True, float("inf")
    values = []
    for step, loss in enumerate(losses):
        average.accumulate(Batch(loss))
        values.append(average.value)
        finder.smooth_loss, finder.train_iter = average.value, step + 1
        try:
            finder.after_batch()
        except CancelFitException:
            break
    return values


def case(name, rates, losses):
    steps = len(losses)
    # In f32 from the start, so that no rounding lies between what fastai and what others see.
    rates = [float(np.float32(rate)) for rate in rates]
    losses = [float(np.float32(loss)) for loss in losses]
    values = smoothed(losses, steps)
    lrs, kept = tensor(rates[: len(values)])[steps // 10 : -5], torch.stack(values)[steps // 10 : -5]
    nans = torch.nonzero(torch.isnan(kept))
    if len(nans) > 0:
        lrs, kept = lrs[: min(nans)], kept[: min(nans)]
    finite = [float(value) for value in values if math.isfinite(value)]
    return {
        "name": name,
        "steps": steps,
        "rates": rates,
        "losses": [loss if math.isfinite(loss) else None for loss in losses],
        "smoothed": finite,
        "stopped_after": len(values),
        "valley": valley(lrs, kept, steps)[0],
        "steepest": steep(lrs, kept, steps)[0],
        "minimum_over_ten": minimum(lrs, kept, steps)[0],
    }


def rates(steps, start=1e-7, end=10.0):
    return [start * (end / start) ** (step / (steps - 1)) for step in range(steps)]


def losses(steps, best, depth, noise, seed, first=5.7):
    """Falls by `depth` around `best`, and explodes three decades above it."""
    draw = np.random.default_rng(seed)
    found = []
    for rate in rates(steps):
        at = math.log10(rate / best)
        fall = depth / (1 + math.exp(-3 * at))
        rise = math.exp(min(4 * (at - 1.5), 60))
        found.append(first - fall + rise + noise * draw.standard_normal())
    return found


cases = [
    case("a valley", rates(100), losses(100, 1e-3, 3.0, 0.0, 0)),
    case("a noisy valley", rates(100), losses(100, 1e-3, 3.0, 0.3, 1)),
    case("a shallow valley", rates(100), losses(100, 1e-2, 0.5, 0.1, 2)),
    case("few steps", rates(30), losses(30, 1e-4, 4.0, 0.1, 3)),
    case("as few as may be", rates(12), losses(12, 1e-1, 4.0, 0.1, 4)),
    case("never diverges", rates(60), losses(60, 1.0, 2.0, 0.05, 5)),
    case("only rises", rates(40), [1.0 + 0.01 * step for step in range(40)]),
    case("noise alone", rates(50), list(5 + np.random.default_rng(6).standard_normal(50))),
    case("no number in the end", rates(50), losses(50, 1e-2, 3.0, 0.1, 7)[:37] + [math.nan] * 13),
    case("no number at once after the valley", rates(50), losses(50, 1e-2, 3.0, 0.1, 8)[:47] + [math.nan] * 3),
]
with open("find_rate.json", "w") as file:
    json.dump(cases, file)
    file.write("\n")
