# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy==2.4.6", "pillow==13.0.0", "safetensors==0.8.0"]
# ///
"""Writes views.safetensors: the ten crops of one image, and its mirror image, as Pillow makes them.

Arrays are (channel, row, column). Run in this folder: `uv run views.py`.
"""

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

SIDE = 20
SHARE = 0.9
PLACES = {"top-left": (0, 0), "top-right": (0, 1), "bottom-left": (1, 0), "bottom-right": (1, 1), "center": (0.5, 0.5)}

image = np.random.RandomState(9).randint(0, 256, size=(3, SIDE, SIDE)).astype(np.uint8)
channels = [Image.fromarray(channel.astype(np.float32)) for channel in image]


def stack(channels):
    return np.stack([np.asarray(channel) for channel in channels]).copy()


arrays = {"image": image, "flipped": stack(ImageOps.mirror(Image.fromarray(channel)) for channel in image)}
for name, (row, column) in PLACES.items():
    top, left = ((1 - SHARE) * SIDE * place for place in (row, column))
    box = (left, top, left + SHARE * SIDE, top + SHARE * SIDE)
    crops = [channel.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box) for channel in channels]
    arrays[f"{name}/off"] = stack(crops)
    arrays[f"{name}/on"] = stack(ImageOps.mirror(crop) for crop in crops)
save_file(arrays, "views.safetensors")
