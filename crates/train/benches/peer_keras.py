# /// script
# requires-python = ">=3.11"
# dependencies = ["keras==3.15.1", "tensorflow-cpu==2.21.0"]
# ///
"""Keras's side of `cargo xtask bench`: reads a case's name a line, does it, prints the seconds.

    python crates/train/benches/peer_keras.py THREADS

At `peak` it prints the most memory that the process has held, in bytes.
"""

import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy
import tensorflow

CLASSES = 311


def build():
    layers = keras.layers
    images = keras.Input((224, 224, 3))
    outputs = images
    for block, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        if block == 5:
            pool4 = keras.Input((14, 14, 512))
            last = pool4
            lower = keras.Model(images, outputs)
            outputs = last
        for _ in range(count):
            outputs = layers.Conv2D(width, 3, padding="same", activation="relu")(outputs)
        outputs = layers.MaxPooling2D()(outputs)
    last = keras.Model(pool4, outputs)
    pool5 = keras.Input((7, 7, 512))
    hidden = layers.Dense(4096, activation="relu")(layers.Flatten()(pool5))
    head = keras.Model(pool5, layers.Dense(CLASSES, activation="softmax")(hidden))
    base = keras.Model(images, last(lower(images)))
    upper = keras.Model(pool4, head(last(pool4)))
    return base, last, head, upper, keras.Model(images, head(base(images)))


def gradients_of_sum(model):
    @tensorflow.function
    def step(inputs):
        with tensorflow.GradientTape() as tape:
            loss = tensorflow.reduce_sum(model(inputs, training=True))
        return tape.gradient(loss, model.trainable_variables)

    return step


def peak():
    """The most memory that this process has held; ru_maxrss would begin with that of its parent."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main():
    threads = int(sys.argv[1])
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    base, last, head, upper, whole = build()
    classifiers = {"head": head, "stage-two": upper, "whole": whole}
    for model in classifiers.values():
        model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    forward = tensorflow.function(lambda inputs: base(inputs, training=False))
    steps = {"step": gradients_of_sum(base), "last-block": gradients_of_sum(last)}
    random = numpy.random.default_rng(1)
    print(f"Keras {keras.__version__}, TF {tensorflow.__version__}", flush=True)
    shapes = {"last-block": (14, 14, 512), "stage-two": (14, 14, 512), "head": (7, 7, 512)}
    for line in sys.stdin:
        if line.strip() == "peak":
            print(peak(), flush=True)
            continue
        case, images = line.strip().rsplit("-", 1)
        images = int(images)
        shape = shapes.get(case, (224, 224, 3))
        inputs = random.random((images, *shape), dtype=numpy.float32) * 2 - 1
        labels = numpy.arange(images) * 37 % CLASSES
        tensors = tensorflow.constant(inputs)
        start = time.perf_counter()
        if case == "forward":
            forward(tensors).numpy()
        elif case in steps:
            [gradient.numpy() for gradient in steps[case](tensors)]
        else:
            classifiers[case].train_on_batch(inputs, labels)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
