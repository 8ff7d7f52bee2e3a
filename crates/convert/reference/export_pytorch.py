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

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from exported import judge, normalized, parse


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
    path, rgb, expected = parse()
    weights = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    network = Network(weights)
    network.load_state_dict(weights, strict=True)
    network.eval()

    images = torch.from_numpy(normalized(rgb, metadata["normalization"]))
    if "identities" in metadata:
        assert len(json.loads(metadata["identities"])) == expected.shape[1]

    with torch.inference_mode():
        found = torch.cat([network(some) for some in images.split(5)]).numpy()
    what = (
        f"torch {torch.__version__}, {len(images)} images of {metadata['input']}, "
        f"outputs {found.shape[1:]}"
    )
    judge(what, found, expected)


if __name__ == "__main__":
    main()
