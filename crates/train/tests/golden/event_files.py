# /// script
# requires-python = ">=3.11"
# dependencies = ["tensorboard==2.21.0"]
# ///
"""Writes event_files.json: messages of an event file, as TensorBoard's own protocol buffers serialize them, in
hexadecimal. Run in this folder: `uv run event_files.py`."""

import json

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2 as hparams


def event(**value):
    message = Event(wall_time=1.5, step=7, summary=Summary(value=[Summary.Value(**value)]))
    return message.SerializeToString(deterministic=True).hex()


def plugin(tag, data):
    content = data.SerializeToString(deterministic=True)
    metadata = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=content)
    )
    return event(tag=tag, metadata=metadata)


start = hparams.SessionStartInfo(group_name="fold-00", start_time_secs=2.5)
start.hparams["rate"].number_value = 1e-4
start.hparams["head"].string_value = "linear"
start.hparams["fresh"].bool_value = True
end = hparams.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=3.5)
histogram = HistogramProto(
    min=0.25, max=2.0, num=3.0, sum=3.25, sum_squares=5.0625, bucket_limit=[0.5, 1.0, 2.0], bucket=[1.0, 1.0, 1.0]
)
image = Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=b"\xff\xd8")
golden = {
    "version": Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString().hex(),
    "scalar": event(tag="loss/train", simple_value=0.5),
    "histogram": event(tag="update_ratios", histo=histogram),
    "image": event(tag="mistakes/01", image=image),
    "start": plugin(
        "_hparams_/session_start_info",
        hparams.HParamsPluginData(version=0, session_start_info=start),
    ),
    "end": plugin(
        "_hparams_/session_end_info", hparams.HParamsPluginData(version=0, session_end_info=end)
    ),
}
with open("event_files.json", "w") as file:
    json.dump(golden, file, indent=1)
