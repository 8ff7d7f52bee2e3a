# /// script
# requires-python = ">=3.9"
# dependencies = ["keras-preprocessing==1.1.2", "numpy==2.4.6", "scipy==1.17.1", "safetensors==0.8.0"]
# ///
"""Writes augmentation.safetensors: affine changes of one image, as keras-preprocessing makes them.

Arrays are (channel, row, column). The changes are repeated, by name, in src/augmentation.rs.
"""

import numpy as np
import scipy.ndimage
from safetensors.numpy import save_file

# scipy moved this function up one level after keras-preprocessing's last release.
scipy.ndimage.interpolation = scipy.ndimage

from keras_preprocessing.image import affine_transformations
from keras_preprocessing.image.affine_transformations import apply_affine_transform, flip_axis


def transform_matrix_offset_center(matrix, rows, columns):
    """The image's true centre, as Keras's own copy has it; 1.1.2 has + 0.5."""
    center = np.array([[1, 0, rows / 2 - 0.5], [0, 1, columns / 2 - 0.5], [0, 0, 1]])
    return center @ matrix @ np.linalg.inv(center)


affine_transformations.transform_matrix_offset_center = transform_matrix_offset_center

CHANGES = {
    "rotation": dict(theta=25.0),
    "shift": dict(tx=3.2, ty=-1.6),
    "shear": dict(shear=-20.0),
    "zoom": dict(zx=1.3, zy=0.75),
    "everything": dict(theta=-40.0, tx=1.6, ty=2.4, shear=15.0, zx=0.9, zy=1.2),
}

image = np.random.RandomState(7).randint(0, 256, size=(3, 16, 16)).astype(np.uint8)
arrays = {"image": image}
for name, change in CHANGES.items():
    arrays[name] = apply_affine_transform(
        image.astype(np.float32),
        row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", order=1, **change,
    )
arrays["everything-flipped"] = np.ascontiguousarray(flip_axis(arrays["everything"], 2))
save_file(arrays, __file__.replace(".py", ".safetensors"))
