# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.32.0", "safetensors==0.8.0"]
# ///
"""Holds an exported ONNX file, run by ONNX Runtime, against this project's own forward pass.

    cargo xtask quickstart
    cargo xtask export runs/quickstart --fold 0 --to onnx --input rgb --softmax --out lfw.onnx
    cargo xtask features --data data/quickstart-64 --weights runs/quickstart/fold-00/weights.safetensors \\
        --layer fc8 --out logits.safetensors
    uv run crates/convert/reference/export_onnx.py lfw.onnx data/quickstart-64 logits.safetensors

For a base, `--layer pool5`. Images go in one at a time and five at a time, evenly from the set.
"""

import argparse
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import load_file

TOLERANCE = 1e-4  # of the largest expected value
BGR_MEANS = {
    "vggface-v1": [93.5940, 104.7624, 129.1863],
    "vggface-v2": [91.4953, 103.8827, 131.0912],
    "imagenet": [103.939, 116.779, 123.68],
    "torchvision": [103.53, 116.28, 123.675],
    "none": [0, 0, 0],
}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("exported")
    arguments.add_argument("prepared", type=pathlib.Path)
    arguments.add_argument("features")
    arguments.add_argument("--images", type=int, default=40)
    arguments = arguments.parse_args()

    model = onnx.load(arguments.exported)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    shards = sorted(arguments.prepared.glob("pixels-*.safetensors"))
    rgb = numpy.concatenate([load_file(shard)["pixels"] for shard in shards])
    indices = numpy.linspace(0, len(rgb) - 1, min(arguments.images, len(rgb))).round().astype(int)
    images = rgb[indices].astype(numpy.float32)
    if not metadata["input"].startswith("RGB"):
        means = numpy.array(BGR_MEANS[metadata["normalization"]], numpy.float32)
        images = images[:, ::-1] - means[:, None, None]
    images = numpy.ascontiguousarray(images)

    session = onnxruntime.InferenceSession(arguments.exported, providers=["CPUExecutionProvider"])
    [entry], [result] = session.get_inputs(), session.get_outputs()
    assert entry.name == "images" and entry.shape == ["batch", *images.shape[1:]], entry
    with safe_open(arguments.features, "numpy") as file:
        expected = file.get_tensor("features")[indices].astype(numpy.float64)
    if result.name == "probabilities":
        expected = numpy.exp(expected - expected.max(1, keepdims=True))
        expected /= expected.sum(1, keepdims=True)
    assert result.shape == ["batch", *expected.shape[1:]], result
    if "identities" in metadata:
        assert len(json.loads(metadata["identities"])) == expected.shape[1]

    for batch in [1, 5]:
        starts = range(0, len(images), batch)
        found = [session.run(None, {"images": images[at : at + batch]})[0] for at in starts]
        difference = numpy.abs(numpy.concatenate(found) - expected).max() / numpy.abs(expected).max()
        print(
            f"onnxruntime {onnxruntime.__version__}, {len(images)} images of {metadata['input']}, "
            f"{result.name}, batch {batch}: largest difference {difference:.2e} of the largest"
        )
        if not difference < TOLERANCE:
            sys.exit(f"expected below {TOLERANCE}")


if __name__ == "__main__":
    main()
