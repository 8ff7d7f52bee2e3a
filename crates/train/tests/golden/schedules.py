# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "keras==3.15.1"]
# ///
"""Writes schedules.json: what the rates of PyTorch's and Keras's schedules are at each step of a stage.

Run in this folder: `KERAS_BACKEND=torch uv run schedules.py`.

`warmup` and `schedule` are as a recipe says them; `factors` are rates over the base rate. Those of PyTorch are f64, read
from the optimizer before each of its steps; those of Keras are f32.
"""

import json
import warnings

import keras
import torch
from torch.optim import lr_scheduler

# Rates are read where no step is done.
warnings.filterwarnings("ignore", message="Detected call of")

EPOCHS = 6
STEPS_PER_EPOCH = 7
STEPS = EPOCHS * STEPS_PER_EPOCH


def torch_factors(schedule, interval=1):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer)
    factors = []
    for step in range(1, STEPS + 1):
        factors.append(optimizer.param_groups[0]["lr"])
        if step % interval == 0 and step < STEPS:
            scheduler.step()
    return factors


def one_cycle(**settings):
    return torch_factors(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=STEPS, cycle_momentum=False, **settings
        )
    )


def warm_cosine(optimizer):
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=10)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS - 10)
    return lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[10])


def keras_factors(**settings):
    schedule = keras.optimizers.schedules.CosineDecay(**settings)
    return [float(schedule(step)) for step in range(STEPS)]


CASES = [
    ("torch", None, {"kind": "one-cycle"}, one_cycle()),
    (
        "torch",
        None,
        {"kind": "one-cycle", "pct_start": 0.45, "div_factor": 10, "final_div_factor": 100},
        one_cycle(pct_start=0.45, div_factor=10.0, final_div_factor=100.0),
    ),
    # The rise is shorter than a step.
    ("torch", None, {"kind": "one-cycle", "pct_start": 0.01}, one_cycle(pct_start=0.01)),
    (
        "torch",
        None,
        {"kind": "step", "every_epochs": 2, "factor": 0.3},
        torch_factors(lambda optimizer: lr_scheduler.StepLR(optimizer, 2, gamma=0.3), STEPS_PER_EPOCH),
    ),
    (
        "torch",
        None,
        {"kind": "cosine", "final": 0.05},
        torch_factors(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=0.05)),
    ),
    (
        "torch",
        {"steps": 10, "start_factor": 0.25},
        None,
        torch_factors(lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=10)),
    ),
    ("torch", {"steps": 10, "start_factor": 0.01}, {"kind": "cosine"}, torch_factors(warm_cosine)),
    (
        "keras",
        None,
        {"kind": "cosine", "final": 0.1},
        keras_factors(initial_learning_rate=1.0, decay_steps=STEPS, alpha=0.1),
    ),
    (
        "keras",
        {"epochs": 2, "start_factor": 0.0},
        {"kind": "cosine", "final": 0.1},
        keras_factors(
            initial_learning_rate=0.0,
            decay_steps=STEPS - 2 * STEPS_PER_EPOCH,
            alpha=0.1,
            warmup_target=1.0,
            warmup_steps=2 * STEPS_PER_EPOCH,
        ),
    ),
]

cases = []
for tool, warmup, schedule, factors in CASES:
    case = {"tool": tool, "warmup": warmup, "schedule": schedule, "factors": factors}
    cases.append({key: value for key, value in case.items() if value is not None})
with open("schedules.json", "w") as file:
    json.dump(
        {
            "generator": f"torch {torch.__version__}, keras {keras.__version__}",
            "epochs": EPOCHS,
            "steps_per_epoch": STEPS_PER_EPOCH,
            "cases": cases,
        },
        file,
    )
