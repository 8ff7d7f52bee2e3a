# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "h5py==3.14.0",
#     "hdf5storage==0.2.2",
#     "keras==3.15.1",
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "onnxruntime==1.32.0",
#     "opencv-python-headless==4.14.0.94",
#     "protobuf==7.36.2",
#     "safetensors==0.8.0",
#     "scipy==1.17.1",
#     "tensorflow-cpu==2.21.0",
#     "tf-keras==2.21.0",
#     "torch==2.15.0",
#     "torchfile==0.1.0",
# ]
# ///
"""VGGFace's network at its full size, 145,002,878 parameters, in every format, to measure with.

    python crates/convert/reference/full_size.py FOLDER [NAME ..]

The weights are random: VGGFace's own are not at hand. Each file is written by the script that
writes the golden file of its format, tests/golden/*.py, which also runs the real tool on it; each
in a process of its own, since they need much memory.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

WIDTHS, COUNTS = [64, 128, 256, 512, 512], [2, 2, 3, 3, 3]
SIDE_PX, UNITS = 224, [4096, 4096, 2622]

GOLDEN = Path(__file__).resolve().parent.parent / "tests/golden"
WRITERS = {
    "caffe_v1.caffemodel": "import caffe as f; f.save(f.v1(), NAME)",
    "torch7_nn.t7": "import torch7 as f; f.save(f.nn(), NAME, f.Binary)",
    "pytorch_dag.pth": "import pytorch as f; f.save(f.dag(rgb=True), NAME)",
    "pytorch_dag_legacy.pth": "import pytorch as f; f.torch.save(f.dag(rgb=True), NAME, "
    "_use_new_zipfile_serialization=False)",
    "onnx_dag.onnx": "import onnx_models as f; import pytorch as p; "
    "f.save(f.exported(p.loaded(p.Dag(), p.dag(rgb=True)), dynamo=False), NAME, rgb=True)",
    "matconvnet_simple.mat": "import matconvnet as f; f.save5(NAME, f.simple())",
    "matconvnet_simple_gzip.mat": "import matconvnet as f; "
    "f.save5(NAME, f.simple(), do_compression=True)",
    "matconvnet_simple73.mat": "import matconvnet as f; f.save73(NAME, f.simple())",
    "keras2_theano.h5": "import keras_archive as f; f.keras2_theano(NAME)",
    "keras3.keras": "import keras_archive as f; f.archive(NAME, f.LAST, f.LAST, 'HWC')",
}


def tensors():
    import numpy as np

    generator, drawn, channels = np.random.default_rng(7), {}, 3

    def draw(name, shape, fan_in):
        weight = generator.standard_normal(shape, dtype=np.float32)
        drawn[f"{name}.weight"] = weight * np.float32(np.sqrt(2 / fan_in))
        drawn[f"{name}.bias"] = generator.standard_normal(shape[0], dtype=np.float32)

    for block, (width, count) in enumerate(zip(WIDTHS, COUNTS)):
        for convolution in range(count):
            name = f"conv{block + 1}_{convolution + 1}"
            draw(name, (width, channels, 3, 3), 9 * channels)
            channels = width
    features = channels * (SIDE_PX // 32) ** 2
    for name, units in zip(["fc6", "fc7", "fc8"], UNITS):
        draw(name, (units, features), features)
        features = units
    drawn["images"] = generator.uniform(-1, 1, (1, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
    return drawn


def run(drawn):
    """Adds what the network makes of the image."""
    import torch
    from torch.nn import functional

    given = {name: torch.from_numpy(value) for name, value in drawn.items()}
    x = given["images"]
    for block, count in enumerate(COUNTS):
        for convolution in range(count):
            name = f"conv{block + 1}_{convolution + 1}"
            weight, bias = given[f"{name}.weight"], given[f"{name}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1).relu()
        x = functional.max_pool2d(x, 2)
    drawn["pool5"], x = x.numpy(), x.flatten(1)
    for name in ["fc6", "fc7", "fc8"]:
        x = functional.linear(x, given[f"{name}.weight"], given[f"{name}.bias"])
        x = x if name == "fc8" else x.relu()
    drawn["logits"] = x.numpy()


def main():
    folder, *names = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    if not os.path.exists("narrow_vgg16.safetensors"):
        from safetensors.numpy import save_file

        drawn = tensors()
        run(drawn)
        save_file(drawn, "narrow_vgg16.safetensors")
    for name in names or WRITERS:
        program = f"NAME = {name!r}; {WRITERS[name]}"
        environment = {**os.environ, "PYTHONPATH": str(GOLDEN)}
        subprocess.run([sys.executable, "-c", program], check=True, env=environment)


main()
