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

import json

import numpy
import onnx
import onnxruntime

from exported import judge, normalized, parse


def main():
    path, rgb, expected = parse()
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    takes_rgb = metadata["input"].startswith("RGB")
    images = rgb if takes_rgb else normalized(rgb, metadata["normalization"])

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [entry], [result] = session.get_inputs(), session.get_outputs()
    assert entry.name == "images" and entry.shape == ["batch", *images.shape[1:]], entry
    if result.name == "probabilities":
        expected = numpy.exp(expected - expected.max(1, keepdims=True))
        expected /= expected.sum(1, keepdims=True)
    assert result.shape == ["batch", *expected.shape[1:]], result
    if "identities" in metadata:
        assert len(json.loads(metadata["identities"])) == expected.shape[1]

    for batch in [1, 5]:
        starts = range(0, len(images), batch)
        found = [session.run(None, {"images": images[at : at + batch]})[0] for at in starts]
        what = (
            f"onnxruntime {onnxruntime.__version__}, {len(images)} images of {metadata['input']}, "
            f"{result.name}, batch {batch}"
        )
        judge(what, numpy.concatenate(found), expected)


if __name__ == "__main__":
    main()
