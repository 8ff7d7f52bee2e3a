//! The messages of an event file, as far as they are written.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// `tensorflow.Event`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
    #[prost(oneof = "Shown", tags = "2, 4, 5")]
    pub(super) shown: Option<Shown>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Shown {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(message, tag = "5")]
    Histogram(Histogram),
}

/// `tensorflow.SummaryMetadata`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
    #[prost(string, tag = "3")]
    pub(super) summary_description: String,
}

/// `tensorflow.SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) content: Vec<u8>,
}

/// `tensorflow.Summary.Image`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub(super) height: i32,
    #[prost(int32, tag = "2")]
    pub(super) width: i32,
    /// 3 is RGB.
    #[prost(int32, tag = "3")]
    pub(super) colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) encoded_image_string: Vec<u8>,
}

/// `tensorflow.HistogramProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(double, tag = "1")]
    pub(super) min: f64,
    #[prost(double, tag = "2")]
    pub(super) max: f64,
    #[prost(double, tag = "3")]
    pub(super) num: f64,
    #[prost(double, tag = "4")]
    pub(super) sum: f64,
    #[prost(double, tag = "5")]
    pub(super) sum_squares: f64,
    /// The upper ends of buckets, ascending.
    #[prost(double, repeated, tag = "6")]
    pub(super) bucket_limit: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    pub(super) bucket: Vec<f64>,
}

/// `tensorboard.hparams.HParamsPluginData`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HyperParameters {
    #[prost(int32, tag = "1")]
    pub(super) version: i32,
    #[prost(oneof = "Session", tags = "3, 4")]
    pub(super) data: Option<Session>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Session {
    #[prost(message, tag = "3")]
    Start(SessionStart),
    #[prost(message, tag = "4")]
    End(SessionEnd),
}

/// `tensorboard.hparams.SessionStartInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) hparams: BTreeMap<String, Parameter>,
    #[prost(string, tag = "4")]
    pub(super) group_name: String,
    #[prost(double, tag = "5")]
    pub(super) start_time_secs: f64,
}

/// `tensorboard.hparams.SessionEndInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionEnd {
    /// 1 is success, 3 running.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(double, tag = "2")]
    pub(super) end_time_secs: f64,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Parameter {
    #[prost(oneof = "ParameterKind", tags = "2, 3, 4")]
    pub(super) kind: Option<ParameterKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ParameterKind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Flag(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `tests/golden/event_files.py`, from TensorBoard's own messages.
    const GOLDEN: &str = include_str!("../../tests/golden/event_files.json");

    fn event(value: Value) -> Event {
        let what = Some(What::Summary(Summary { value: vec![value] }));
        Event { wall_time: 1.5, step: 7, what }
    }

    fn shown(tag: &str, shown: Shown) -> Event {
        event(Value { tag: tag.to_owned(), metadata: None, shown: Some(shown) })
    }

    fn session(tag: &str, session: Session) -> Event {
        let content = HyperParameters { version: 0, data: Some(session) }.encode_to_vec();
        let plugin_data = Some(PluginData { plugin_name: "hparams".to_owned(), content });
        let metadata = Some(Metadata { plugin_data, summary_description: String::new() });
        event(Value { tag: tag.to_owned(), metadata, shown: None })
    }

    #[test]
    fn messages_are_tensorboards_to_the_byte() {
        let parameter = |kind| Parameter { kind: Some(kind) };
        let hparams = BTreeMap::from([
            ("rate".to_owned(), parameter(ParameterKind::Number(1e-4))),
            ("head".to_owned(), parameter(ParameterKind::Text("linear".to_owned()))),
            ("fresh".to_owned(), parameter(ParameterKind::Flag(true))),
        ]);
        let start =
            SessionStart { hparams, group_name: "fold-00".to_owned(), start_time_secs: 2.5 };
        let histogram = Histogram {
            min: 0.25,
            max: 2.0,
            num: 3.0,
            sum: 3.25,
            sum_squares: 5.0625,
            bucket_limit: vec![0.5, 1.0, 2.0],
            bucket: vec![1.0, 1.0, 1.0],
        };
        let image =
            Image { height: 2, width: 3, colorspace: 3, encoded_image_string: vec![0xff, 0xd8] };
        let version = What::FileVersion("brain.Event:2".to_owned());
        let messages = [
            ("version", Event { wall_time: 1.5, step: 0, what: Some(version) }),
            ("scalar", shown("loss/train", Shown::Scalar(0.5))),
            ("histogram", shown("update_ratios", Shown::Histogram(histogram))),
            ("image", shown("mistakes/01", Shown::Image(image))),
            ("start", session("_hparams_/session_start_info", Session::Start(start))),
            (
                "end",
                session(
                    "_hparams_/session_end_info",
                    Session::End(SessionEnd { status: 1, end_time_secs: 3.5 }),
                ),
            ),
        ];
        let golden: BTreeMap<String, String> = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(golden.len(), messages.len());
        for (name, message) in messages {
            let bytes = message.encode_to_vec();
            assert_eq!(model::weights::hexadecimal(&bytes), golden[name], "{name}");
        }
    }
}
