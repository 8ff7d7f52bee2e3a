//! The table at the end of a run.

use super::Summary;

/// Each fold, mean and standard error, beside chance and the commonest identity.
pub fn table(summary: &Summary) -> String {
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.push_str(&words.to_string());
        text.push('\n');
    };
    let percent = |share: f64| 100.0 * share;
    line(format_args!(
        "{}: {} people, {} photographs, {} split, {} of {} folds, seed {}",
        summary.recipe,
        summary.dataset.identities,
        summary.dataset.images,
        summary.split,
        summary.folds.len(),
        summary.num_folds * summary.repeats.get(),
        summary.seed
    ));
    line(format_args!(
        "{:>12}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}",
        "fold", "accuracy", "top-5", "macro F1", "loss", "seconds"
    ));
    for fold in &summary.folds {
        line(format_args!(
            "{:>12}  {:>7.2}%  {:>7.2}%  {:>7.2}%  {:>8.4}  {:>8.1}",
            fold.fold,
            percent(fold.accuracy),
            percent(fold.top5_accuracy),
            percent(fold.macro_f1),
            fold.loss,
            fold.seconds
        ));
    }
    let count = summary.folds.len() as f64;
    let mean = |value: fn(&super::FoldSummary) -> f64| {
        summary.folds.iter().map(value).sum::<f64>() / count
    };
    line(format_args!(
        "{:>12}  {:>7.2}%  {:>7.2}%  {:>7.2}%  {:>8.4}  {:>8.1}",
        "mean",
        percent(summary.accuracy.mean),
        percent(mean(|fold| fold.top5_accuracy)),
        percent(mean(|fold| fold.macro_f1)),
        mean(|fold| fold.loss),
        mean(|fold| fold.seconds)
    ));
    match summary.accuracy.standard_error {
        Some(error) => line(format_args!("{:>12}  {:>7.2}%", "std. error", percent(error))),
        None => line(format_args!("{:>12}  one fold has no spread", "std. error")),
    }
    if summary.chosen_on_validation {
        line(format_args!(
            "{:>12}  each fold's best epoch, chosen on its own held-out photographs: optimistic",
            "note"
        ));
    }
    if summary.carries_weights_over() {
        line(format_args!(
            "{:>12}  one model goes through all folds: later ones are no measure of new photographs",
            "note"
        ));
    }
    line(format_args!("{:>12}  {:>7.2}%", "chance", percent(summary.baselines.chance)));
    line(format_args!("{:>12}  {:>7.2}%", "majority", percent(summary.baselines.majority)));
    if let Some(nearest_mean) = summary.baselines.nearest_mean {
        line(format_args!(
            "{:>12}  {:>7.2}%  the frozen base alone: who has the nearest mean features",
            "nearest mean",
            percent(nearest_mean)
        ));
    }
    if let Some(linear_probe) = summary.baselines.linear_probe {
        line(format_args!(
            "{:>12}  {:>7.2}%  the frozen base alone: a linear classifier, solved by ridge regression",
            "ridge probe",
            percent(linear_probe)
        ));
    }
    text
}
