# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0"]
# ///
"""Holds a file exported for PyTorch, run by PyTorch, against this project's own forward pass.

    cargo xtask quickstart
    cargo xtask export runs/quickstart --fold 0 --to pytorch --out lfw.safetensors
    cargo xtask features --data data/quickstart-64 --weights runs/quickstart/fold-00/weights.safetensors \\
        --layer fc8 --out logits.safetensors
    uv run crates/convert/reference/export_pytorch.py lfw.safetensors data/quickstart-64 logits.safetensors

For a base, `--layer pool5`.
"""

import argparse
import json
import pathlib
import sys

import numpy
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from torch import nn

TOLERANCE = 1e-4  # of the largest expected value
BGR_MEANS = {
    "vggface-v1": [93.5940, 104.7624, 129.1863],
    "vggface-v2": [91.4953, 103.8827, 131.0912],
    "imagenet": [103.939, 116.779, 123.68],
    "torchvision": [103.53, 116.28, 123.675],
    "none": [0, 0, 0],
}


class Network(nn.Module):
    """torchvision 0.29.2's `models/vgg.py`, configuration D, of any widths and up to three dense layers."""

    def __init__(self, weights):
        super().__init__()
        layers, inputs = [], 3
        for count in [2, 2, 3, 3, 3]:
            for _ in range(count):
                units = weights[f"features.{len(layers)}.weight"].shape[0]
                layers += [nn.Conv2d(inputs, units, kernel_size=3, padding=1), nn.ReLU()]
                inputs = units
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        dense = []
        for place in [0, 3, 6]:
            if (name := f"classifier.{place}.weight") in weights:
                units, inputs = weights[name].shape
                dense += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout()]
        self.classifier = nn.Sequential(*dense[:-2])

    def forward(self, images):
        pool5 = self.features(images)
        return self.classifier(torch.flatten(pool5, 1)) if len(self.classifier) else pool5


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("exported")
    arguments.add_argument("prepared", type=pathlib.Path)
    arguments.add_argument("features")
    arguments.add_argument("--images", type=int, default=40)
    arguments = arguments.parse_args()

    weights = load_file(arguments.exported)
    with safe_open(arguments.exported, "pt") as file:
        metadata = file.metadata()
    network = Network(weights)
    network.load_state_dict(weights, strict=True)
    network.eval()

    shards = sorted(arguments.prepared.glob("pixels-*.safetensors"))
    rgb = numpy.concatenate([load_arrays(shard)["pixels"] for shard in shards])
    indices = numpy.linspace(0, len(rgb) - 1, min(arguments.images, len(rgb))).round().astype(int)
    means = torch.tensor(BGR_MEANS[metadata["normalization"]])
    images = torch.from_numpy(rgb[indices]).float().flip(1) - means[:, None, None]

    with safe_open(arguments.features, "numpy") as file:
        expected = file.get_tensor("features")[indices].astype(numpy.float64)
    if "identities" in metadata:
        assert len(json.loads(metadata["identities"])) == expected.shape[1]

    with torch.inference_mode():
        found = torch.cat([network(some) for some in images.split(5)]).numpy()
    assert found.shape == expected.shape, (found.shape, expected.shape)
    difference = numpy.abs(found - expected).max() / numpy.abs(expected).max()
    print(
        f"torch {torch.__version__}, {len(images)} images of {metadata['input']}, "
        f"outputs {found.shape[1:]}: largest difference {difference:.2e} of the largest"
    )
    if not difference < TOLERANCE:
        sys.exit(f"expected below {TOLERANCE}")


if __name__ == "__main__":
    main()
