# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "safetensors==0.8.0",
#     "torch==2.15.0",
# ]
# ///
"""The narrow VGG16 in every form PyTorch saves, all by PyTorch 2.15.0. Run it in its own folder.

Where nothing else is said a file is in torch.save's zip form; "legacy" is the form before
PyTorch 1.6 (`_use_new_zipfile_serialization=False`), with storages numbered here, since PyTorch
names them by their addresses. "dag" names are conv1_1.weight ... fc8.bias, "torchvision" names
features.0.weight ... classifier.6.bias. RGB: conv1_1's input channels are reversed.

pytorch_dag.pth                   state_dict, dag names, RGB
pytorch_dag_legacy.pth            the same, legacy
pytorch_torchvision.pth           state_dict, torchvision names, BGR
pytorch_torchvision_outputs.safetensors
                                  RGB pixels, 0 to 255, and what that file makes of them after
                                  torchvision's standardisation, in float64
pytorch_prefixed.pth              checkpoint {epoch, arch, state_dict, optimizer}, torchvision names
                                  after `module.`, BGR; SGD with momentum after one step
pytorch_prefixed_legacy.pth       the same, legacy
pytorch_module.pth                the whole module, torch.save(model), BGR
pytorch_module_legacy.pth         the same, legacy, which holds the sources of the classes too
pytorch_script.pt                 TorchScript of torch.jit.script, BGR
pytorch_trace.pt                  TorchScript of torch.jit.trace, BGR; both without their .debug_pkl
                                  entries, which name the folder that PyTorch was installed in
pytorch_shared.pth                dag names, BGR, all views of one storage; conv1_2.weight lies in
                                  it with its axes reversed
pytorch_double.pth                dag names, BGR, float64
pytorch_half.pth                  dag names, BGR, rounded to float16
pytorch_bfloat16.pth              dag names, BGR, rounded to bfloat16
pytorch_batchnorm.pth             to be refused: names of torchvision's vgg16_bn, drawn weights
pytorch_two.pth                   two state_dicts with dag names in one dict; to be refused
pytorch_evil.pth                  to be refused: a pickle that runs `echo executed > executed.txt`
pytorch_evil_legacy.pth           the same, legacy
"""

import os
import sys

if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":
    # TorchScript's text has the order of sets; it and the legacy form name this file, by path.
    os.environ["PYTHONHASHSEED"] = "0"
    again = "import runpy; runpy.run_path('pytorch.py', run_name='__main__')"
    os.execv(sys.executable, [sys.executable, "-c", again])

import math
import pickle
import types
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from golden import (
    COUNTS,
    LOGITS,
    NAMES,
    PARTS,
    POOL5,
    SIDE_PX,
    UNITS,
    WIDTHS,
    agree,
    golden,
    images,
)

# Of torchvision's ImageNet presets, red, green, blue.
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class VGG(nn.Module):
    """As torchvision's, with a 2x2 pool5."""

    def __init__(self, batchnorm: bool = False):
        super().__init__()
        modules, channels = [], 3
        for width, count in zip(WIDTHS, COUNTS):
            for _ in range(count):
                modules.append(nn.Conv2d(channels, width, 3, padding=1))
                modules += [nn.BatchNorm2d(width)] if batchnorm else []
                modules.append(nn.ReLU(inplace=True))
                channels = width
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 4, UNITS[0]),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(UNITS[0], UNITS[1]),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(UNITS[1], UNITS[2]),
        )

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class Dag(nn.Module):
    """As the modules that MatConvNet's converters wrote: every layer by its own name."""

    def __init__(self):
        super().__init__()
        channels = 3
        for block, (width, count) in enumerate(zip(WIDTHS, COUNTS), 1):
            for number in range(1, count + 1):
                setattr(self, f"conv{block}_{number}", nn.Conv2d(channels, width, 3, padding=1))
                channels = width
        features = math.prod(POOL5)
        for number, units in enumerate(UNITS, 6):
            setattr(self, f"fc{number}", nn.Linear(features, units))
            features = units

    def forward(self, x):
        for block, count in enumerate(COUNTS, 1):
            for number in range(1, count + 1):
                x = torch.relu(getattr(self, f"conv{block}_{number}")(x))
            x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.fc6(torch.flatten(x, 1)))
        return self.fc8(torch.relu(self.fc7(x)))


def dag(*, rgb=False):
    values = golden(rgb=rgb)
    return OrderedDict((name, torch.from_numpy(value.copy())) for name, value in values.items())


def torchvision(prefix=""):
    """BGR."""
    names = [name.removesuffix(".weight") for name in VGG().state_dict() if name.endswith("weight")]
    renamed, values = dict(zip(NAMES, names)), dag()
    return OrderedDict(
        (f"{prefix}{renamed[name]}.{part}", values[f"{name}.{part}"])
        for name in NAMES
        for part in PARTS
    )


def loaded(network, state_dict):
    network.load_state_dict(state_dict)
    return network.eval()


def check(network, what, *, rgb=False):
    with torch.no_grad():
        agree(network(torch.from_numpy(images(rgb=rgb))).numpy(), what)


class Numbered(pickle.Pickler):
    """Replaces the addresses by which the legacy form knows storages: the same file each run."""

    numbers = {}

    def __init_subclass__(cls):
        original, Numbered.numbers = cls.persistent_id, {}

        def persistent_id(self, value):
            saved = original(self, value)
            if saved is None or saved[0] != "storage":
                return saved
            return (*saved[:2], Numbered.number(saved[2]), *saved[3:])

        cls.persistent_id = persistent_id

    @staticmethod
    def number(address):
        numbers = Numbered.numbers
        return numbers.setdefault(address, str(94000000000000 + 112 * len(numbers)))

    @staticmethod
    def dump_keys(value, file, protocol):
        """PyTorch writes the storages in the order of this list, which it reads after this."""
        if isinstance(value, list):
            value.sort(key=Numbered.number)
            value = [Numbered.number(address) for address in value]
        pickle.dump(value, file, protocol)


def save(value, path, *, legacy=False):
    if legacy:
        numbered = types.ModuleType("pickle")
        numbered.Pickler, numbered.dump = Numbered, Numbered.dump_keys
        torch.save(value, path, pickle_module=numbered, _use_new_zipfile_serialization=False)
    else:
        torch.save(value, path)


def save_state_dicts():
    for path, legacy in [("pytorch_dag.pth", False), ("pytorch_dag_legacy.pth", True)]:
        save(dag(rgb=True), path, legacy=legacy)
        check(loaded(Dag(), torch.load(path)), path, rgb=True)
    save(torchvision(), "pytorch_torchvision.pth")
    check(loaded(VGG(), torch.load("pytorch_torchvision.pth")), "pytorch_torchvision.pth")
    save_as_torchvision()


def save_as_torchvision():
    """The same file run as torchvision runs its own: on standardised RGB."""
    pixels = np.random.default_rng(8).integers(0, 256, (1, 3, SIDE_PX, SIDE_PX))
    mean, deviation = (torch.tensor(it, dtype=torch.float64).view(3, 1, 1) for it in (MEAN, DEVIATION))
    network = loaded(VGG(), torch.load("pytorch_torchvision.pth")).double()
    with torch.no_grad():
        logits = network((torch.from_numpy(pixels).double() / 255 - mean) / deviation)
    outputs = {"pixels": pixels.astype(np.float32), "logits": logits.numpy().astype(np.float32)}
    save_file(outputs, "pytorch_torchvision_outputs.safetensors")


def save_checkpoints():
    network = loaded(VGG(), torchvision())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    network(torch.from_numpy(images())).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "arch": "vgg16",
        "state_dict": torchvision("module."),
        "optimizer": optimizer.state_dict(),
    }
    for path, legacy in [("pytorch_prefixed.pth", False), ("pytorch_prefixed_legacy.pth", True)]:
        save(checkpoint, path, legacy=legacy)
        read = torch.load(path)
        assert len(read["optimizer"]["state"]) == 32
        names = {name.removeprefix("module."): value for name, value in read["state_dict"].items()}
        check(loaded(VGG(), names), path)


def save_two():
    """A checkpoint of two networks, of which nothing says which is meant."""
    save({"net": dag(), "averaged": dag(rgb=True)}, "pytorch_two.pth")


def bare_sources():
    """Source files by name only, not by where PyTorch is installed."""
    original = torch.serialization.get_source_lines_and_file

    def bare(value, *rest):
        lines, number, file = original(value, *rest)
        return lines, number, os.path.basename(file)

    torch.serialization.get_source_lines_and_file = bare


def save_modules():
    bare_sources()
    network = loaded(VGG(), torchvision())
    for path, legacy in [("pytorch_module.pth", False), ("pytorch_module_legacy.pth", True)]:
        save(network, path, legacy=legacy)
        check(torch.load(path, weights_only=False), path)
    torch.jit.script(network).save("pytorch_script.pt")
    torch.jit.trace(network, torch.from_numpy(images())).save("pytorch_trace.pt")
    for path in ["pytorch_script.pt", "pytorch_trace.pt"]:
        without_debug(path)
    for path in ["pytorch_script.pt", "pytorch_trace.pt"]:
        check(torch.jit.load(path), path)


def without_debug(path):
    """Drops the .debug_pkl entries, which hold the paths of the machine that wrote them."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in entries:
            if not info.filename.endswith(".debug_pkl"):
                kept = zipfile.ZipInfo(info.filename)
                archive.writestr(kept, content, compress_type=info.compress_type)


def save_shared():
    values = dag()
    storage, views, offset = torch.empty(sum(v.numel() for v in values.values())), OrderedDict(), 0
    for name, value in values.items():
        view = storage[offset : offset + value.numel()]
        if name == "conv1_2.weight":
            view = view.view(value.shape[::-1]).permute(3, 2, 1, 0)
        else:
            view = view.view(value.shape)
        view.copy_(value)
        views[name] = view
        offset += value.numel()
    save(views, "pytorch_shared.pth")
    read = torch.load("pytorch_shared.pth")
    assert not read["conv1_2.weight"].is_contiguous()
    assert len({value.untyped_storage().data_ptr() for value in read.values()}) == 1
    check(loaded(Dag(), read), "pytorch_shared.pth")


def save_other_types():
    for path, kind in [
        ("pytorch_double.pth", torch.float64),
        ("pytorch_half.pth", torch.float16),
        ("pytorch_bfloat16.pth", torch.bfloat16),
    ]:
        save(OrderedDict((name, value.to(kind)) for name, value in dag().items()), path)
        assert all(value.dtype == kind for value in torch.load(path).values())
    check(loaded(Dag(), torch.load("pytorch_double.pth")), "pytorch_double.pth")


def save_batchnorm():
    torch.manual_seed(20190131)
    save(VGG(batchnorm=True).state_dict(), "pytorch_batchnorm.pth")
    VGG(batchnorm=True).load_state_dict(torch.load("pytorch_batchnorm.pth"))


class Evil:
    def __reduce__(self):
        return os.system, ("echo executed > executed.txt",)


def save_evil():
    """Written, never read."""
    for path, legacy in [("pytorch_evil.pth", False), ("pytorch_evil_legacy.pth", True)]:
        save(OrderedDict([*dag().items(), ("conv6_1.weight", Evil())]), path, legacy=legacy)


def main():
    warnings.simplefilter("ignore")
    assert LOGITS.shape == (1, UNITS[2])
    save_state_dicts()
    save_checkpoints()
    save_two()
    save_modules()
    save_shared()
    save_other_types()
    save_batchnorm()
    save_evil()


if __name__ == "__main__":
    main()
