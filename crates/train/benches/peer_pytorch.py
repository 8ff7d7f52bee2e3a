# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0"]
# ///
"""PyTorch's side of `cargo xtask bench`: reads a case's name a line, does it, prints the seconds.

    python crates/train/benches/peer_pytorch.py THREADS

At `peak` it prints the most memory that the process has held, in bytes.
"""

import sys
import time

import torch
from torch import nn

CLASSES = 311


def convolutions(channels, blocks):
    layers = []
    for width, count in blocks:
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Cases:
    def __init__(self):
        torch.manual_seed(1)
        self.lower = convolutions(3, [(64, 2), (128, 2), (256, 3), (512, 3)])
        self.last = convolutions(512, [(512, 3)])
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(inplace=True), nn.Linear(4096, CLASSES)
        )
        self.base = nn.Sequential(self.lower, self.last)
        self.upper = nn.Sequential(self.last, self.head)
        self.of_upper = torch.optim.Adam(self.upper.parameters(), 1e-4, fused=True)
        self.of_head = torch.optim.Adam(self.head.parameters(), 1e-4, fused=True)
        self.of_all = torch.optim.Adam(
            [*self.base.parameters(), *self.head.parameters()], 1e-4, fused=True
        )

    def run(self, case):
        images = int(case.rsplit("-", 1)[1])
        shape = {
            "last-block-32": (512, 14, 14),
            "stage-two-32": (512, 14, 14),
            "head-32": (512, 7, 7),
        }.get(case, (3, 224, 224))
        inputs = torch.rand(images, *shape) * 2 - 1
        labels = torch.arange(images) * 37 % CLASSES
        start = time.perf_counter()
        if case.startswith("forward"):
            with torch.inference_mode():
                self.base(inputs)
        elif case.startswith("step"):
            self.base.zero_grad()
            self.base(inputs).sum().backward()
        elif case.startswith("last-block"):
            self.last.zero_grad()
            self.last(inputs).sum().backward()
        elif case.startswith("head"):
            self.of_head.zero_grad()
            nn.functional.cross_entropy(self.head(inputs), labels).backward()
            self.of_head.step()
        elif case.startswith("stage-two"):
            self.of_upper.zero_grad()
            nn.functional.cross_entropy(self.upper(inputs), labels).backward()
            self.of_upper.step()
        else:
            self.of_all.zero_grad()
            nn.functional.cross_entropy(self.head(self.base(inputs)), labels).backward()
            self.of_all.step()
        return time.perf_counter() - start


def peak():
    """The most memory that this process has held; ru_maxrss would begin with that of its parent."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main():
    torch.set_num_threads(int(sys.argv[1]))
    cases = Cases()
    print(f"PyTorch {torch.__version__.split('+')[0]}", flush=True)
    for line in sys.stdin:
        if line.strip() == "peak":
            print(peak(), flush=True)
        else:
            print(cases.run(line.strip()), flush=True)


if __name__ == "__main__":
    main()
