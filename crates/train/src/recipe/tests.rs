//! Reading recipes, and what is said of those that are none.

use super::*;

fn problem(text: &str) -> String {
    Recipe::parse("r.toml", text).unwrap_err().to_string()
}

#[test]
fn a_resolved_recipe_reads_back_as_itself() {
    for builtin in BUILTIN {
        let recipe = Recipe::builtin(builtin.name).unwrap();
        assert_eq!(Recipe::parse("resolved", &recipe.to_toml()).unwrap(), recipe);
    }
}

#[test]
fn an_unknown_key_is_named() {
    let base = Builtin::find("linear-probe").unwrap().text;
    assert!(problem(&format!("momentum = 0.9\n{base}")).contains("momentum"));
    let in_stage = base.replace("epochs = 50", "epochs = 50\nepoch = 3");
    assert!(problem(&in_stage).contains("`epoch`"), "{}", problem(&in_stage));
    let line = in_stage.lines().position(|line| line == "epoch = 3").unwrap() + 1;
    assert!(problem(&in_stage).contains(&format!("line {line}: ")), "{}", problem(&in_stage));
    let in_optimizer = base.replace("learning_rate = 1e-3", "learning_rate = 1e-3, lr = 1.0");
    assert!(problem(&in_optimizer).contains("lr"), "{}", problem(&in_optimizer));
}

#[test]
fn a_name_of_keras_is_translated() {
    let base = Builtin::find("two-stage").unwrap().text;
    let clipped = base.replacen("learning_rate = 1e-4", "learning_rate = 1e-4, clipnorm = 1.0", 1);
    let message = problem(&clipped);
    assert!(message.contains("unknown field `clipnorm`"), "{message}");
    assert!(message.contains("clip = { norm = 1.0 }"), "{message}");
    let plateau = base.replacen("min_learning_rate", "min_lr", 1);
    assert!(problem(&plateau).ends_with("is `min_learning_rate` here"), "{}", problem(&plateau));
}

#[test]
fn a_pattern_of_no_layer_is_found_on_reading() {
    let base = Builtin::find("two-stage").unwrap().text;
    let message = problem(&base.replacen("\"conv5_*\"", "\"convv5_*\"", 1));
    assert!(message.contains("`convv5_*` matches no layer"), "{message}");
    assert!(message.contains("fc8"), "{message}");
}

#[test]
fn the_examples_of_the_recipes_readme_are_recipes() {
    let page = include_str!("../../recipes/README.md");
    let examples = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let stages = examples.map(|example| Recipe::parse("README.md", example).unwrap().stages.len());
    assert_eq!(stages.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn every_key_is_in_the_recipes_readme() {
    let page = include_str!("../../recipes/README.md");
    let base = Builtin::find("two-stage").unwrap().text;
    let in_stage = |line: &str| format!("{base}\n{line}");
    let optimizer =
        |kind: &str| base.replacen("kind = \"adam\"", &format!("kind = \"{kind}\", zzz = 1"), 1);
    let texts = [
        format!("zzz = 1\n{base}"),
        in_stage("zzz = 1"),
        optimizer("adam"),
        optimizer("sgd"),
        optimizer("rmsprop"),
        base.replacen("monitor", "zzz = 1, monitor", 1),
        base.replacen("monitor = \"validation_accuracy\"", "monitor = \"zzz\"", 1),
        in_stage("early_stopping = { zzz = 1 }"),
        in_stage("augment = { zzz = 1 }"),
    ];
    for text in texts {
        let message = problem(&text);
        let (_, expected) = message.split_once("expected ").unwrap_or_else(|| panic!("{message}"));
        let keys: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert!(3 < keys.len(), "{message}");
        for key in keys {
            let is_described = page.contains(&format!("`{key}`")) || key == "stage";
            assert!(is_described, "`{key}` is not described");
        }
    }
}

#[test]
fn a_problem_is_told_in_one_line() {
    let base = Builtin::find("linear-probe").unwrap().text;
    let message = problem(&base.replace("head = \"linear\"", "head = \"resnet\""));
    assert!(message.contains("resnet") && message.contains("linear"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn the_files_fc6_counts_only_where_it_is_used() {
    let file = Some(Widths { fc: 256, ..Widths::VGG16 });
    let mut recipe = Recipe::builtin("two-stage").unwrap();
    assert_eq!(recipe.widths("r", file).unwrap(), Widths::VGG16);
    recipe.head_init = HeadInit::Weights;
    assert_eq!(recipe.widths("r", file).unwrap().fc, 256);
    recipe = Recipe { head: Head::Vggface, head_init: HeadInit::New, ..recipe };
    assert_eq!(recipe.widths("r", file).unwrap().fc, 256);
}

#[test]
fn what_is_given_over_a_recipe_must_go_with_it() {
    let text = Recipe::builtin("linear-probe").unwrap().to_toml();
    let text = format!("{text}\n[stage.weight_averaging]\nkind = \"mean\"\nfrom_epoch = 3\n");
    let mut recipe = Recipe::parse("r", &text).unwrap();
    let two = Overrides { epochs: NonZeroUsize::new(2), ..Overrides::default() };
    let error = recipe.override_with("r", &two).unwrap_err();
    assert!(error.to_string().contains("from epoch 3 on and has 2 epochs"), "{error}");
}

#[test]
fn numbers_beyond_all_measure_are_refused() {
    let text = Recipe::builtin("linear-probe").unwrap().to_toml();
    let with = |line: &str| Recipe::parse("r", &text.replacen("batch_size", line, 1));
    let wide = with("widths = [4611686018427387904, 4, 4, 4, 4]\nbatch_size").unwrap_err();
    assert!(wide.to_string().contains("4096 channels at most"), "{wide}");
    let text = text.replace("epochs", "accumulate = 4611686018427387904\nepochs");
    let many = Recipe::parse("r", &text).unwrap_err();
    assert!(many.to_string().contains("too many batches"), "{many}");
}

#[test]
fn a_key_on_the_wrong_level_is_told_its_place_and_one_that_lacks_where_all_are() {
    let base = Builtin::find("two-stage").unwrap().text;
    let stage = |line: &str| problem(&base.replacen("epochs", &format!("{line}\nepochs"), 1));
    let top = |line: &str| problem(&format!("{line}\n{base}"));
    for (message, place) in [
        (stage("batch_size = 3"), "it belongs above the first [[stage]]"),
        (top("epochs = 3"), "it belongs in a [[stage]]"),
        (top("learning_rate = 1e-3"), "it belongs in a stage's optimizer = { .. }"),
        (stage("momentum = 0.9"), "it belongs in a stage's optimizer = { .. }"),
        (problem(&base.replace("batch_size = 32\n", "")), "every recipe has one; `cargo xtask"),
        (problem(&base.replacen("epochs = 10\n", "", 1)), "every [[stage]] has one"),
    ] {
        assert!(message.contains(place), "{message}");
    }
    assert!(!top("colour = 1").contains("it belongs"));
}

#[test]
fn what_keras_and_python_call_otherwise_is_told_how_it_is_called_here() {
    let base = Builtin::find("linear-probe").unwrap().text;
    for (ours, theirs, said) in [
        ("\"cross-entropy\"", "\"categorical_crossentropy\"", "`cross-entropy` here"),
        ("kind = \"adam\"", "kind = \"Adam\"", "`adam` here"),
        ("\"linear\"", "\"Dense(4096)\"", "`head = \"seed\"` here"),
        ("fresh_model_per_fold = true", "fresh_model_per_fold = True", "true, in lower case"),
        ("fresh_model_per_fold = true", "fresh_model_per_fold = False", "false, in lower case"),
    ] {
        let message = problem(&base.replace(ours, theirs));
        assert!(message.contains(said), "{message}");
    }
}
