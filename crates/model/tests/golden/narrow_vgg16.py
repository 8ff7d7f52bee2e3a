# /// script
# requires-python = ">=3.10"
# dependencies = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Writes narrow_vgg16.safetensors: activations and gradients of a narrow VGG16, by PyTorch in f64.

Run in this folder: `uv run narrow_vgg16.py`.

The widths differ from block to block, so that no two axes can be confused; the side, 66, is odd
after one pooling (33) and leaves pool5 with 2x2, so that the order of flattening shows.
Parameters and images are f32 values. Every head has its own parameters and its own gradients,
those of sum(logits * cotangent).

An f32 network can differ from an f64 one by more than rounding where a ReLU's input is nearly 0
or two values of a pooling window are nearly equal, for then the gradient takes another way. So
the seed is the one of SEEDS with the widest margin: the least distance from such a change in any
layer, divided by that layer's RMS. Layers that agree to less than `margin`, which is stored
here, cannot have taken another way, and the test asserts that they do.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

BLOCKS = [4, 6, 8, 10, 12]
CONVOLUTIONS = [2, 2, 3, 3, 3]
FC, CLASSES, SIDE, BATCH = 20, 5, 66, 2
BOTTLENECK, DROPOUT_SEED = 256, 42
SEEDS = range(400)
HEADS = {
    "seed": [("fc6", FC), ("fc8", CLASSES)],
    "vggface": [("fc6", FC), ("fc7", FC), ("fc8", CLASSES)],
    "bottleneck": [("fc6", BOTTLENECK), ("fc8", CLASSES)],
    "linear": [("fc8", CLASSES)],
}


def chacha8_words(key, count):
    """The first words of ChaCha with 8 rounds, block counter from 0 and nonce 0."""
    def quarter(x, a, b, c, d):
        for p, q, r, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & 0xFFFFFFFF
            x[r] ^= x[p]
            x[r] = ((x[r] << turn) | (x[r] >> (32 - turn))) & 0xFFFFFFFF

    words = []
    for counter in range(-(-count // 16)):
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key)]
        start += [counter, 0, 0, 0]
        x = list(start)
        for _ in range(4):
            for column in range(4):
                quarter(x, column, 4 + column, 8 + column, 12 + column)
            for diagonal in range(4):
                quarter(x, *(4 * row + (diagonal + row) % 4 for row in range(4)))
        words += [(a + b) & 0xFFFFFFFF for a, b in zip(x, start)]
    return np.array(words[:count], dtype=np.uint32)


def dropout_mask(name, shape, rate=0.5):
    """The mask as `model::layers` documents it: purpose 1, seed and name give ChaCha8's key."""
    key = hashlib.sha256(b"\x01" + struct.pack("<Q", DROPOUT_SEED) + name.encode()).digest()
    uniform = (chacha8_words(key, int(np.prod(shape))) >> 8) / 2.0**24
    return torch.tensor(np.where(uniform < rate, 0.0, 1 / (1 - rate)).reshape(shape))


def parameters(seed):
    """Images, cotangent, the backbone's parameters and each head's."""
    random = np.random.default_rng(seed)

    def affine(name, weight_shape):
        bound = np.sqrt(6 / np.prod(weight_shape[1:]))
        return {
            f"{name}.weight": random.uniform(-bound, bound, weight_shape).astype(np.float32),
            f"{name}.bias": random.uniform(-1, 1, weight_shape[0]).astype(np.float32),
        }

    images = random.uniform(-128, 128, (BATCH, 3, SIDE, SIDE)).astype(np.float32)
    cotangent = random.standard_normal((BATCH, CLASSES)).astype(np.float32)
    backbone, channels = {}, 3
    for block, width in enumerate(BLOCKS, 1):
        for convolution in range(1, CONVOLUTIONS[block - 1] + 1):
            backbone |= affine(f"conv{block}_{convolution}", (width, channels, 3, 3))
            channels = width
    heads = {}
    for head, layers in HEADS.items():
        features, heads[head] = channels * (SIDE // 32) ** 2, {}
        for name, units in layers:
            heads[head] |= affine(name, (units, features))
            features = units
    return images, cotangent, backbone, heads


class Trace:
    """Activations by layer, and the least distance from another way."""

    def __init__(self):
        self.activations, self.margin = {}, float("inf")

    def relu(self, sums):
        self.margin = min(self.margin, float(sums.detach().abs().min() / rms(sums)))
        return F.relu(sums)

    def pool(self, images):
        windows = F.unfold(images.detach().flatten(0, 1).unsqueeze(1), 2, stride=2)
        first, second = windows.topk(2, dim=1).values.unbind(1)
        gaps = (first - second)[first > 0]
        self.margin = min(self.margin, float(gaps.min() / rms(images)))
        return F.max_pool2d(images, 2)


def rms(tensor):
    return tensor.detach().square().mean().sqrt()


def run(head, images, tensors, dtype):
    """One network: its trace, its logits and its parameters."""
    trace = Trace()
    t = {
        name: torch.tensor(value, dtype=dtype, requires_grad=True)
        for name, value in tensors.items()
    }
    x = torch.tensor(images, dtype=dtype)
    for block in range(1, 6):
        for convolution in range(1, CONVOLUTIONS[block - 1] + 1):
            name = f"conv{block}_{convolution}"
            x = trace.relu(F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=1))
            trace.activations[name] = x
        x = trace.activations[f"pool{block}"] = trace.pool(x)
    x = x.flatten(1)
    for name, _ in HEADS[head]:
        x = F.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])
        if name != "fc8":
            x = trace.relu(x)
        trace.activations[name] = x
        if head == "bottleneck" and name == "fc6":
            x = trace.activations["dropout6"] = x * dropout_mask("dropout6", x.shape).to(dtype)
    return trace, x, t


def margin(seed):
    images, _, backbone, heads = parameters(seed)
    return min(run(head, images, backbone | heads[head], torch.float64)[0].margin for head in HEADS)


def main():
    seed = max(SEEDS, key=margin)
    images, cotangent, backbone, heads = parameters(seed)
    out = {"images": images, "cotangent": cotangent}
    out |= {f"backbone/parameters/{name}": value for name, value in backbone.items()}
    torch_f32 = 0.0
    for head in HEADS:
        gradients = {}
        for dtype in (torch.float32, torch.float64):
            trace, logits, t = run(head, images, backbone | heads[head], dtype)
            (logits * torch.tensor(cotangent, dtype=dtype)).sum().backward()
            gradients[dtype] = {name: tensor.grad.double() for name, tensor in t.items()}
        for name, gradient in gradients[torch.float64].items():
            error = (gradients[torch.float32][name] - gradient).abs().max() / gradient.abs().max()
            torch_f32 = max(torch_f32, float(error))
            out[f"{head}/gradients/{name}"] = gradient.float().numpy()
        for name, activations in trace.activations.items():
            if name.startswith(("conv", "pool")):
                out[f"backbone/activations/{name}"] = activations.detach().float().numpy()
            else:
                out[f"{head}/activations/{name}"] = activations.detach().float().numpy()
        out |= {f"{head}/parameters/{name}": value for name, value in heads[head].items()}
    least = margin(seed)
    out["margin"] = np.array([least], dtype=np.float32)
    save_file(out, Path(__file__).with_suffix(".safetensors"))
    print(f"seed {seed}, margin {least:.2e}; PyTorch's own f32 gradients differ by {torch_f32:.2e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
