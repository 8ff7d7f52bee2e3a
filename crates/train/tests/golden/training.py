# /// script
# requires-python = ">=3.10"
# dependencies = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Writes training.safetensors: the losses of 150 training steps of a narrow VGG16, by PyTorch.

Run in this folder: `uv run training.py`.

From the same weights, images and order of batches the network is trained once in f64 and once in
f32, by SGD with momentum and by Adam with Keras's epsilon (added to the root of the second moment
before its correction, which torch.optim.Adam does after). How far PyTorch's own f32 strays from its
f64 is the measure for how far any f32 may.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

RATES = {"sgd": 2e-4, "adam": 1e-4}
BLOCKS = [16, 20, 24, 32, 40]
CONVOLUTIONS = [2, 2, 3, 3, 3]
FC, CLASSES, SIDE, IMAGES, BATCH, STEPS = 32, 5, 48, 40, 8, 150


def parameters(generator):
    tensors, channels = {}, 3
    for block, (width, count) in enumerate(zip(BLOCKS, CONVOLUTIONS), 1):
        for number in range(1, count + 1):
            shape = (width, channels, 3, 3)
            deviation = math.sqrt(2 / (9 * channels))
            tensors[f"conv{block}_{number}.weight"] = generator.normal(0, deviation, shape)
            tensors[f"conv{block}_{number}.bias"] = generator.normal(0, 0.01, width)
            channels = width
    for name, inputs, outputs in [("fc6", channels, FC), ("fc8", FC, CLASSES)]:
        tensors[f"{name}.weight"] = generator.normal(0, math.sqrt(2 / inputs), (outputs, inputs))
        tensors[f"{name}.bias"] = generator.normal(0, 0.01, outputs)
    return {name: values.astype(np.float32) for name, values in tensors.items()}


def logits(weights, images):
    for block, count in enumerate(CONVOLUTIONS, 1):
        for number in range(1, count + 1):
            name = f"conv{block}_{number}"
            images = F.conv2d(images, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            images = F.relu(images)
        images = F.max_pool2d(images, 2)
    hidden = F.linear(images.flatten(1), weights["fc6.weight"], weights["fc6.bias"])
    return F.linear(F.relu(hidden), weights["fc8.weight"], weights["fc8.bias"])


def sgd(weights, state, _):
    for name, weight in weights.items():
        velocity = state.setdefault(name, torch.zeros_like(weight))
        velocity.mul_(0.9).sub_(weight.grad, alpha=RATES["sgd"])
        weight.add_(velocity)


def adam(weights, state, step):
    alpha = RATES["adam"] * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    for name, weight in weights.items():
        zeros = torch.zeros_like(weight)
        first, second = state.setdefault(name, (zeros.clone(), zeros.clone()))
        first.add_(weight.grad - first, alpha=1 - 0.9)
        second.add_(weight.grad**2 - second, alpha=1 - 0.999)
        weight.sub_(alpha * first / (second.sqrt() + 1e-7))


def train(start, images, labels, order, update, dtype):
    weights = {name: torch.tensor(values, dtype=dtype) for name, values in start.items()}
    images, losses, state = torch.tensor(images, dtype=dtype), [], {}
    for step, batch in enumerate(order, 1):
        for weight in weights.values():
            weight.requires_grad_(True)
            weight.grad = None
        loss = F.cross_entropy(logits(weights, images[batch]), labels[batch])
        loss.backward()
        with torch.no_grad():
            update(weights, state, step)
        for weight in weights.values():
            weight.requires_grad_(False)
        losses.append(loss.item())
    return np.array(losses)


def main():
    torch.set_num_threads(1)
    generator = np.random.default_rng(7)
    start = parameters(generator)
    # Pixels that are whole numbers, smooth in part: a class shows in the slope of its images.
    labels = np.arange(IMAGES) % CLASSES
    ramp = np.linspace(-1, 1, SIDE)
    slopes = generator.normal(0, 1, (CLASSES, 3, 2))[labels]
    images = slopes[:, :, :1, None] * ramp[:, None] + slopes[:, :, 1:, None] * ramp
    images = 128 + 16 * images + generator.normal(0, 20, images.shape)
    pixels = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    epochs = [generator.permutation(IMAGES) for _ in range(STEPS * BATCH // IMAGES)]
    order = np.concatenate(epochs).reshape(STEPS, BATCH)
    images = (pixels.astype(np.float32) - 128) / 64
    results = {}
    for name, update in [("sgd", sgd), ("adam", adam)]:
        for kind, dtype in [("f64", torch.float64), ("f32", torch.float32)]:
            losses = train(start, images, torch.tensor(labels), order, update, dtype)
            results[f"{name}/{kind}"] = losses
        strayed = np.abs(results[f"{name}/f32"] - results[f"{name}/f64"])
        print(name, results[f"{name}/f64"][[0, 49, 99, 149]], "f32 strays by", strayed.max())
    tensors = {f"weights/{name}": values for name, values in start.items()}
    tensors |= {f"losses/{name}": values for name, values in results.items()}
    tensors |= {f"rates/{name}": np.array(rate) for name, rate in RATES.items()}
    tensors |= {"pixels": pixels, "labels": labels.astype(np.uint32), "order": order.astype(np.uint32)}
    save_file(tensors, "training.safetensors")


if __name__ == "__main__":
    main()
