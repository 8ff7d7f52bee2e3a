"""Reads a run's event files with TensorBoard's own reader and holds them against its metrics.jsonl.

    python tensorboard_read.py RUN

Needs tensorboard (2.21 was used). Every epoch's and step's scalars must be there with the run's numbers (in f32), each stage must
have begun in the table of hyper-parameters and, where its fold is done, ended; histograms and pictures are counted and decoded.
"""

import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import plugin_event_multiplexer as multiplexer
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util


def f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def main(run):
    reader = multiplexer.EventMultiplexer(size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0},
                                          tensor_size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    reader.AddRunsFromDirectory(str(run / "tensorboard"))
    reader.Reload()
    stages = [line.split('"')[1] for line in (run / "recipe.toml").read_text().splitlines() if line.startswith("name")]
    folder = lambda record: f"fold-{record['fold']:02}/{stages.index(record['stage']) + 1}-{record['stage']}"
    of_kind = {"step": {"loss": "step/loss", "learning_rate": "step/learning_rate"},
               "epoch": {"train_loss": "loss/train", "validation_loss": "loss/validation", "train_accuracy": "accuracy/train",
                         "validation_accuracy": "accuracy/validation", "learning_rate": "learning_rate"}}
    compared = 0
    cache = {}

    def scalars(name, tag):
        if (name, tag) not in cache:
            points = {}
            for event in reader.Tensors(name, tag):
                value = tensor_util.make_ndarray(event.tensor_proto).item()
                # What a killed run told twice is the same both times.
                known = points.setdefault(event.step, value)
                assert known == value or (math.isnan(known) and math.isnan(value)), (name, tag, event.step, known, value)
            cache[name, tag] = points
        return cache[name, tag]

    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        kind = record.get("kind") or record.get("type")
        for key, tag in of_kind.get(kind, {}).items():
            at = record["step"] if kind == "step" else record["epoch"]
            found = scalars(folder(record), tag).get(at)
            assert found == f32(record[key]), (folder(record), tag, at, found, record[key])
            compared += 1
    assert compared, "no record was compared"

    histograms = pictures = sessions = 0
    for name in reader.Runs():
        for tag in reader.Runs()[name]["tensors"]:
            metadata = reader.SummaryMetadata(name, tag)
            plugin = metadata.plugin_data.plugin_name
            if plugin == "histograms":
                histograms += len(reader.Tensors(name, tag))
            elif plugin == "images":
                for event in reader.Tensors(name, tag):
                    width, height, jpeg = tensor_util.make_ndarray(event.tensor_proto)[:3]
                    assert int(width) == int(height) and jpeg[:2] == b"\xff\xd8", (name, tag)
                    pictures += 1
        content = reader.PluginRunToTagToContent("hparams").get(name, {})
        start = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info
        assert start.hparams["stage.name"].string_value in stages, start
        sessions += 1
        if (run / name.split("/")[0] / "result.json").exists():
            end = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/session_end_info"]).session_end_info
            assert end.status == 1, (name, end)
    print(f"{compared} scalars equal, {histograms} histograms, {pictures} pictures, {sessions} sessions of hyper-parameters")


main(pathlib.Path(sys.argv[1]))
