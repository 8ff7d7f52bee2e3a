//! What it takes to make a run again.

use super::{run::ReportedRun, tiles::Tile};

/// Seeds, hashes and versions.
pub(super) fn origins(run: &ReportedRun) -> Vec<Tile> {
    let identity = &run.identity;
    let tile =
        |label: &str, value: String| Tile { label: label.to_owned(), value, more: String::new() };
    let mut tiles = vec![
        tile("folder", run.folder.display().to_string()),
        tile("seed", identity.seed.to_string()),
        tile("data, SHA-256", identity.data_sha256.clone()),
        tile("weights, SHA-256", identity.weights_sha256.clone()),
    ];
    tiles.extend(identity.groups_sha256.clone().map(|it| tile("near duplicates, SHA-256", it)));
    if let Some(summary) = &run.summary {
        tiles.extend([
            tile("normalization", summary.weights.normalization.clone()),
            tile("version", summary.version.clone()),
            tile("device", summary.device.clone()),
        ]);
    }
    tiles
}

/// The command that makes the run again, in another folder.
pub(super) fn command(run: &ReportedRun) -> String {
    let identity = &run.identity;
    let quoted = |word: &str| {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./=:,".contains(it);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let place = identity.places.as_ref();
    let data = place.map_or("DATA", |places| &places.data);
    let weights = place.map_or("WEIGHTS", |places| &places.weights);
    let folder = run.folder.display().to_string();
    let command = format!(
        "cargo xtask train --data {} --weights {} --recipe {} \\\n    --split {} --folds {} --seed {}",
        quoted(data),
        quoted(weights),
        quoted(&format!("{folder}/recipe.toml")),
        identity.split,
        identity.num_folds,
        identity.seed
    );
    let mut more = Vec::new();
    if 1 < identity.repeats.get() {
        more.push(format!(" --repeats {}", identity.repeats));
    }
    let all = identity.num_folds * identity.repeats.get();
    let folds = run.summary.iter().flat_map(|summary| &summary.folds);
    let done: Vec<String> = folds.map(|fold| format!(" --fold {}", fold.fold)).collect();
    if done.len() < all {
        more.extend(done);
    }
    if run.leaves_faces_out() {
        more.push(" --no-faces".to_owned());
    }
    command + &more.concat() + &format!(" \\\n    --out {}", quoted(&format!("{folder}-again")))
}
