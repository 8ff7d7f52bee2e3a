# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=2", "pillow>=11", "safetensors>=0.5"]
# ///
"""Breaks a run in every way that the diagnosis knows, and prints what it finds of each.

    python crates/train/reference/broken_setups.py target/release FACES WEIGHTS OUT

FACES has one folder a person, WEIGHTS is a converted base. Photographs are broken as files, weights
in a copy, the rest in recipes and options; each set-up is then diagnosed (or trained, where a check
needs epochs). A set-up names the checks that must find it, and those that may: what else is true of
it. Anything else at the level of a warning or an error is a false alarm. Prints a row a set-up as
Markdown; `--only NAME` runs one.
"""

import argparse
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

MEANS_RGB = np.float32([123.68, 116.779, 103.939])
SIGNS_OF_A_WRECKED_BASE = {
    "base-rate", "update-ratio", "collapse", "dead-units", "clipped-saturation", "gradient-norm",
    "overfit-batch", "feature-drift", "initial-loss", "flat-loss", "baseline-beaten", "clipped-loss",
}  # fmt: skip
SIGNS_OF_BLINDNESS = {
    "value-range", "mean-subtraction", "constant-images", "feature-spread", "presentation",
    "frozen-baseline", "channel-order", "overfit-batch", "collapse", "gray-images", "near-duplicates",
    "duplicates", "initial-loss", "dead-units", "gradient-norm",
}  # fmt: skip


@dataclass
class Setup:
    name: str
    must: set
    may: set = field(default_factory=set)
    faces: str = "sound"
    weights: str = "sound"
    recipe: str = "two-stage"
    edits: list = field(default_factory=list)
    options: list = field(default_factory=list)
    program: str = "diagnose"


SETUPS = [
    Setup("sound: `two-stage`", set()),
    Setup("sound: `linear-probe`", set(), recipe="linear-probe"),
    # Its head is trained, and a classifier that is solved may know more: that is no false alarm.
    Setup(
        "sound: `linear-probe`, trained",
        set(),
        {"baseline-beaten"},
        recipe="linear-probe",
        program="train",
    ),
    Setup(
        "the question's run: `naive`",
        {"base-rate", "model-per-fold", "coverage"},
        SIGNS_OF_A_WRECKED_BASE | {"validation-reuse", "head-size"},
        recipe="naive",
    ),
    Setup(
        "rate 1e-3, a random head on an open base, else as it should be",
        {"base-rate", "update-ratio"},
        SIGNS_OF_A_WRECKED_BASE | {"validation-reuse", "head-size"},
        recipe="low-rate",
        edits=[("learning_rate = 1e-4", "learning_rate = 1e-3")],
    ),
    Setup("sorted labels, contiguous folds", {"coverage"}, options=["--split", "contiguous"]),
    Setup("red and blue exchanged", {"channel-order"}, SIGNS_OF_BLINDNESS, faces="exchanged"),
    Setup("values of 0 to 1", {"value-range"}, SIGNS_OF_BLINDNESS, faces="unit"),
    Setup("means subtracted twice", {"mean-subtraction"}, SIGNS_OF_BLINDNESS, faces="subtracted"),
    Setup("all photographs alike", {"constant-images"}, SIGNS_OF_BLINDNESS, faces="constant"),
    Setup("no color", {"gray-images"}, faces="gray"),
    Setup("whole frames, of which the face fills the middle", {"loose-frames"}, faces="whole"),
    Setup("labels shuffled", {"frozen-baseline"}, {"near-duplicates"}, faces="shuffled"),
    Setup("copies of every tenth photograph", {"duplicates"}, {"near-duplicates"}, faces="copied"),
    Setup("the same, encoded anew", {"duplicates"}, {"near-duplicates"}, faces="encoded"),
    Setup(
        "the same, cropped by a tenth",
        {"near-duplicates"},
        {"duplicates"},
        faces="cropped",
        recipe="linear-probe",
        program="train, diagnose",
    ),
    Setup("one person has half of the photographs", {"imbalance"}, {"duplicates"}, faces="crowd"),
    Setup("weights not loaded: random, frozen", {"random-base"}, SIGNS_OF_BLINDNESS, weights="random"),
    Setup("blocks 4 and 5 not loaded", {"initializer-like"}, SIGNS_OF_BLINDNESS, weights="half"),
    Setup("most of the file missing", {"refused"}, weights="missing"),
    Setup(
        "one model through all folds",
        {"model-per-fold"},
        edits=[("fresh_model_per_fold = true", "fresh_model_per_fold = false")],
    ),
    Setup(
        "one model through all folds, trained",
        {"model-per-fold", "fold-trend"},
        {"overfitting", "baseline-beaten"},
        recipe="linear-probe",
        edits=[("fresh_model_per_fold = true", "fresh_model_per_fold = false")],
        program="train",
    ),
    Setup(
        "a clipped loss, stuck",
        {"clipped-saturation"},
        SIGNS_OF_A_WRECKED_BASE,
        edits=[
            ('"cross-entropy"', '"keras-2.2-clipped"'),
            ("learning_rate = 1e-4 }\nreduce", "learning_rate = 1e-1 }\nreduce"),
        ],
    ),
    Setup(
        "a rate of 1e-9",
        {"overfit-batch"},
        {"update-ratio", "initial-loss"},
        edits=[('"adam", learning_rate = 1e-4', '"adam", learning_rate = 1e-9')],
    ),
    Setup(
        "a rate of 1e-9, trained",
        {"flat-loss", "baseline-beaten"},
        {"update-ratio", "initial-loss", "collapse"},
        recipe="linear-probe",
        edits=[("learning_rate = 1e-3", "learning_rate = 1e-9")],
        program="train",
    ),
    Setup(
        "a head at rate 1e-1",
        {"update-ratio"},
        SIGNS_OF_A_WRECKED_BASE,
        edits=[('"adam", learning_rate = 1e-4', '"adam", learning_rate = 1e-1')],
    ),
    Setup(
        "the held-out fold chooses the best epoch",
        {"validation-reuse"},
        edits=[
            ("inner_validation = 0.1\n", ""),
            ("epochs = 10", "early_stopping = { patience = 3, restore_best_weights = true }\nepochs = 10"),
        ],
    ),
    Setup(
        "a schedule that watches the training images",
        {"monitors"},
        edits=[('monitor = "validation_accuracy"', 'monitor = "train_accuracy"')],
    ),
]


def photographs(faces, people):
    return [photo for person in people for photo in sorted((faces / person).glob("*.jpg"))]


def break_faces(kind, faces, people, out):
    """Writes the people's photographs, broken, as PNG: what JPEG would add is not to be found."""
    draw, names = random.Random(0), photographs(faces, people)
    labels = [name.parent.name for name in names]
    if kind == "shuffled":
        draw.shuffle(labels)
    if kind == "crowd":
        first = [label for label in labels if label == "George_W_Bush"]
        few = {p: 6 for p in people[:60] if p != "George_W_Bush"}
        keep = []
        for name, label in zip(names, labels):
            keep.append(label in first or few.get(label, 0) > 0)
            few[label] = few.get(label, 0) - 1
        names = [n for n, k in zip(names, keep) if k]
        labels = [n.parent.name for n in names]
    some = np.asarray(Image.open(names[0]).convert("RGB"))
    noise = np.random.default_rng(0)
    for index, (name, label) in enumerate(zip(names, labels)):
        (out / label).mkdir(parents=True, exist_ok=True)
        place = out / label / name.name
        if kind in ("shuffled", "crowd", "copied", "encoded", "cropped"):
            place.symlink_to(name.resolve())
            copy = out / label / f"copy_{name.name}"
            if kind == "copied" and index % 10 == 0:
                copy.symlink_to(name.resolve())
            if kind == "encoded" and index % 10 == 0:
                photo = Image.open(name).convert("RGB")
                brighter = photo.point(lambda value: min(255, round(1.08 * value)))
                brighter.crop((3, 2, 248, 247)).resize(photo.size).save(copy, quality=80)
            if kind == "cropped" and index % 10 == 0:
                photo = Image.open(name).convert("RGB")
                photo.crop((12, 10, 238, 236)).resize(photo.size).save(copy, quality=80)
            continue
        pixels = np.asarray(Image.open(name).convert("RGB")).astype(np.float32)
        if kind == "exchanged":
            pixels = pixels[..., ::-1]
        elif kind == "unit":
            pixels = pixels / 255
        elif kind == "subtracted":
            pixels = pixels - MEANS_RGB
        elif kind == "constant":
            pixels = some + noise.normal(0, 2, some.shape)
        elif kind == "gray":
            pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
        pixels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place.with_suffix(".png"), compress_level=1)


def break_weights(kind, source, out):
    with safe_open(source, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    draw = np.random.default_rng(0)
    for name, tensor in tensors.items():
        if not name.startswith(("conv4", "conv5")):
            continue
        if name.endswith("bias"):
            tensors[name] = np.zeros_like(tensor)
        else:
            deviation = (2 / np.prod(tensor.shape[1:])) ** 0.5
            tensors[name] = draw.normal(0, deviation, tensor.shape).astype(np.float32)
    if kind == "missing":
        tensors = {k: v for k, v in tensors.items() if not k.startswith(("conv4", "conv5"))}
    save_file(tensors, out, metadata)


class Bench:
    def __init__(self, given):
        self.given, self.out = given, given.out
        given.out.mkdir(parents=True, exist_ok=True)
        self.people = sorted(
            folder.name
            for folder in given.faces.iterdir()
            if folder.is_dir() and given.min_faces <= len(list(folder.glob("*.jpg")))
        )

    def run(self, program, *arguments):
        command = [str(self.given.programs / program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def data(self, kind):
        prepared = self.out / f"{kind}-prepared"
        if not prepared.exists():
            faces = self.given.faces
            side, crop = self.given.side, self.given.crop
            if kind == "whole":
                # As many pixels of the face as in the crop, and all that is around it.
                share = 1.0 if crop == "whole" else float(crop.removeprefix("center="))
                side, crop = round(side / share), "whole"
            elif kind != "sound":
                faces = self.out / f"{kind}-faces"
                shutil.rmtree(faces, ignore_errors=True)
                break_faces(kind, self.given.faces, self.people, faces)
            options = ["--min-faces", 6 if kind == "crowd" else self.given.min_faces]
            options += ["--side", side, "--crop", crop]
            done = self.run("prepare", "--faces", faces, "--out", prepared, *options)
            if done.returncode != 0:
                sys.exit(done.stderr)
            if faces != self.given.faces:
                shutil.rmtree(faces)
        return prepared

    def weights(self, kind):
        if kind == "sound":
            return self.given.weights
        if kind == "random":
            return "random"
        path = self.out / f"{kind}.safetensors"
        if not path.exists():
            break_weights(kind, self.given.weights, path)
        return path

    def recipe(self, setup):
        text = self.run("train", "--show-recipe", setup.recipe).stdout
        for old, new in setup.edits:
            if old not in text:
                sys.exit(f"{setup.name}: the recipe has no `{old}`")
            text = text.replace(old, new)
        path = self.out / f"{slug(setup.name)}.toml"
        path.write_text(text)
        return path

    def findings(self, setup):
        """Check and level of all that was found, in the order of the diagnosis."""
        arguments = ["--data", self.data(setup.faces), "--weights", self.weights(setup.weights)]
        arguments += ["--recipe", self.recipe(setup), *setup.options]
        # A run keeps the features of all photographs, by which near copies are found.
        if setup.program != "diagnose":
            run = self.out / f"{slug(setup.name)}-run"
            shutil.rmtree(run, ignore_errors=True)
            folds = [word for fold in range(3) for word in ("--fold", fold)]
            done = self.run("train", *arguments, *folds, "--out", run)
            if done.returncode != 0:
                sys.exit(done.stderr)
            diagnosis = json.loads((run / "diagnosis.json").read_text())
            shutil.rmtree(run)
        if setup.program != "train":
            done = self.run("diagnose", *arguments, "--json")
            if not done.stdout:
                words = done.stderr.strip().splitlines()[-1]
                if not words.startswith("error: ") or "is not VGG16" not in words:
                    sys.exit(f"{setup.name}: {done.stderr}")
                return [("refused", "error", words)]
            diagnosis = json.loads(done.stdout)
        found = [
            finding
            for cause in diagnosis["causes"]
            for finding in [cause["finding"], *cause["consequences"]]
        ]
        return [(it["check"], it["level"], it["measurement"]["value"]) for it in found]


def slug(name):
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("faces", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--min-faces", type=int, default=6)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--crop", default="whole")
    parser.add_argument("--only", action="append", help="a set-up's name, or the beginning of it")
    given = parser.parse_args()
    bench = Bench(given)
    print("| set-up | must find | found, the likeliest first | missed | false alarms |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    missed_in_all = false_in_all = behind_in_all = 0
    for setup in SETUPS:
        if given.only and not any(setup.name.startswith(only) for only in given.only):
            continue
        begin = time.time()
        found = bench.findings(setup)
        loud = [check for check, level, _ in found if level != "note"]
        shown = [f"**{check}**" if level == "error" else check for check, level, _ in found if level != "note"]
        notes = [f"({check})" for check, level, _ in found if level == "note"]
        missed = sorted(setup.must - {check for check, _, _ in found})
        false = [check for check in loud if check not in setup.must | setup.may]
        missed_in_all += len(missed)
        false_in_all += len(false)
        # What was broken stands first, unless it is only worth a note.
        behind = bool(setup.must & set(loud)) and loud[0] not in setup.must
        behind_in_all += behind
        cells = [setup.name, ", ".join(sorted(setup.must)) or "nothing"]
        cells += [", ".join(shown + notes) or "nothing", ", ".join(missed) or ("not first" if behind else ""), ", ".join(false)]
        print(f"| {' | '.join(cells)} |", flush=True)
        details = ", ".join(f"{check} {value}" for check, _, value in found)
        print(f"{setup.name}: {time.time() - begin:.0f} s, {details}", file=sys.stderr, flush=True)
    print(f"\n{missed_in_all} missed, {behind_in_all} behind what they cause, {false_in_all} false alarms")
    sys.exit(1 if missed_in_all + behind_in_all + false_in_all else 0)


if __name__ == "__main__":
    main()
