//! A recipe as TensorBoard's table of hyper-parameters has it: a row for each fold's stage.

use std::collections::BTreeMap;

use prost::Message;

use super::messages::{
    HyperParameters, Metadata, Parameter, ParameterKind, PluginData, Session, SessionEnd,
    SessionStart, Value,
};
use crate::recipe::Recipe;

/// The name by which the plugin knows its data.
const PLUGIN: &str = "hparams";

/// Of a session that has ended well.
const SUCCESS: i32 = 1;

/// What says that a stage has begun, and with which settings: those of the recipe, flattened, and
/// those of the stage.
pub(super) fn start(recipe: &Recipe, stage: &str, group: &str, time: f64) -> Value {
    // A number that TOML has no place for leaves its table out.
    let table = toml::Table::try_from(recipe).unwrap_or_default();
    let mut hparams = BTreeMap::new();
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("stage", toml::Value::Array(stages)) => {
                let is_it =
                    |it: &&toml::Value| it.get("name").and_then(toml::Value::as_str) == Some(stage);
                if let Some(value) = stages.iter().find(is_it) {
                    flatten("stage", value, &mut hparams);
                }
            }
            (key, value) => flatten(key, value, &mut hparams),
        }
    }
    let session = SessionStart { hparams, group_name: group.to_owned(), start_time_secs: time };
    value("_hparams_/session_start_info", Session::Start(session))
}

/// What says that a stage has come to its end.
pub(super) fn end(time: f64) -> Value {
    let session = SessionEnd { status: SUCCESS, end_time_secs: time };
    value("_hparams_/session_end_info", Session::End(session))
}

fn value(tag: &str, session: Session) -> Value {
    let content = HyperParameters { version: 0, data: Some(session) }.encode_to_vec();
    Value {
        tag: tag.to_owned(),
        metadata: Some(Metadata {
            plugin_data: Some(PluginData { plugin_name: PLUGIN.to_owned(), content }),
            summary_description: String::new(),
        }),
        shown: None,
    }
}

/// `optimizer.learning_rate` and so on; lists as text.
fn flatten(name: &str, value: &toml::Value, into: &mut BTreeMap<String, Parameter>) {
    let kind = match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                flatten(&format!("{name}.{key}"), value, into);
            }
            return;
        }
        toml::Value::Float(number) => ParameterKind::Number(*number),
        toml::Value::Integer(number) => ParameterKind::Number(*number as f64),
        toml::Value::Boolean(flag) => ParameterKind::Flag(*flag),
        toml::Value::String(text) => ParameterKind::Text(text.clone()),
        other => ParameterKind::Text(other.to_string()),
    };
    into.insert(name.to_owned(), Parameter { kind: Some(kind) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_has_its_own_settings_and_the_recipes() {
        let value =
            start(&Recipe::builtin("two-stage").unwrap(), "fine-tune", "fold-00/fine-tune", 0.0);
        let content = value.metadata.unwrap().plugin_data.unwrap().content;
        let read = HyperParameters::decode(content.as_slice()).unwrap();
        let Some(Session::Start(session)) = read.data else { panic!("{read:?}") };
        let number = |name: &str| session.hparams[name].kind.clone();
        assert_eq!(number("stage.optimizer.learning_rate"), Some(ParameterKind::Number(1e-4)));
        assert_eq!(number("batch_size"), Some(ParameterKind::Number(32.0)));
        assert_eq!(number("stage.optimizer.kind"), Some(ParameterKind::Text("sgd".to_owned())));
        assert_eq!(session.group_name, "fold-00/fine-tune");
    }
}
