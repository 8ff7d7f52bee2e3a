//! What was measured, for people.

use super::{CaseResult, LayerTimes, Machine};

const GIB: f64 = (1_u64 << 30) as f64;

/// What the machine can do, in words.
fn heading(machine: Machine) -> String {
    format!(
        "machine: {} threads, {:.0} GFLOP/s of multiply-add in registers, {:.0} GB/s of memory",
        machine.threads,
        machine.flop_per_second / 1e9,
        machine.bytes_per_second / 1e9
    )
}

/// The cases: median, range, how often ours fits into each median, the part of our time that the bound takes, and the most
/// memory held.
pub fn table(machine: Machine, results: &[CaseResult]) -> String {
    let mut lines = vec![heading(machine)];
    lines.push(format!(
        "{:<14} {:<22} {:>9} {:>19} {:>9} {:>7} {:>6} {:>9}",
        "case", "who", "median s", "range s", "s/image", "ratio", "bound", "memory"
    ));
    for CaseResult { case, bound, measured } in results {
        let ours = measured.first().map_or(f64::NAN, super::Measured::median);
        for (index, of) in measured.iter().enumerate() {
            let (least, most) = of.range();
            let median = of.median();
            let an_image = case.images().map(|images| format!("{:.4}", median / images as f64));
            let bound = (index == 0 && bound.flop > 0.0)
                .then(|| format!("{:.0}%", 100.0 * bound.seconds(machine) / median));
            lines.push(format!(
                "{:<14} {:<22} {:>9.4} {:>9.4} {:>9.4} {:>9} {:>6.2}x {:>6} {:>5.2} GiB",
                case.name(),
                of.who,
                median,
                least,
                most,
                an_image.unwrap_or_default(),
                median / ours,
                bound.unwrap_or_default(),
                of.peak_bytes as f64 / GIB
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// The convolutions: milliseconds of each kernel, and the part of the time that its products take at the machine's peak.
pub fn layers_table(machine: Machine, batch: usize, layers: &[LayerTimes]) -> String {
    let mut lines = vec![heading(machine)];
    lines.push(format!(
        "{:<8} {:>6} {:>17} {:>17} {:>17}   {batch} images, ms",
        "layer", "GFLOP", "forward", "grad of images", "grad of weights"
    ));
    let mut sums = [0.0; 3];
    for layer in layers {
        let mut columns = vec![format!("{:<8} {:>6.2}", layer.name, layer.flop / 1e9)];
        let seconds = [Some(layer.forward), layer.backward_images, Some(layer.backward_weights)];
        for (sum, seconds) in sums.iter_mut().zip(seconds) {
            let Some(seconds) = seconds else {
                columns.push(format!("{:>17}", ""));
                continue;
            };
            *sum += seconds;
            let part = 100.0 * layer.flop / machine.flop_per_second / seconds;
            columns.push(format!("{:>10.2} {part:>5.0}%", 1e3 * seconds));
        }
        lines.push(columns.join(" "));
    }
    let [forward, images, weights] = sums.map(|sum| 1e3 * sum);
    lines.push(format!("{:<15} {forward:>10.2} {images:>17.2} {weights:>17.2}", "all"));
    lines.join("\n") + "\n"
}
