//! What was measured, for people.

use super::{CaseResult, Growth, LayerTimes, Machine};

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

/// How times grow: each case's seconds at each size, and against the size before.
pub fn growth_table(machine: Machine, grown: &[Growth]) -> String {
    let mut lines = vec![heading(machine)];
    lines.push(format!(
        "{:<16} {:>6} {:<14} {:>9} {:>8}",
        "what grows", "to", "part", "median s", "of last"
    ));
    for (index, Growth { of, count, part, seconds }) in grown.iter().enumerate() {
        let before =
            grown[..index].iter().rev().find(|before| before.of == *of && before.part == *part);
        let ratio =
            before.map_or(String::new(), |before| format!("{:.2}x", seconds / before.seconds));
        lines.push(format!(
            "{:<16} {count:>6} {:<14} {seconds:>9.4} {ratio:>8}",
            of.name(),
            part.name()
        ));
    }
    lines.join("\n") + "\n"
}

/// The convolutions: milliseconds of each kernel, and the part of the time that its products take at the machine's peak.
pub fn layers_table(machine: Machine, batch: usize, layers: &[LayerTimes]) -> String {
    let mut lines = vec![heading(machine)];
    lines.push(format!(
        "{:<8} {:>6} {:>16} {:>16} {:>16} {:>16} {:>16}",
        "layer",
        "GFLOP",
        "forward",
        "products alone",
        "grad of images",
        "grad of weights",
        "products alone"
    ));
    let cell = |flop: f64, seconds: f64| {
        let part = 100.0 * flop / machine.flop_per_second / seconds;
        format!("{:>10.2} {part:>4.0}%", 1e3 * seconds)
    };
    let mut sums = [(0.0, 0.0); 5];
    for layer in layers {
        let mut columns = vec![format!("{:<8} {:>6.2}", layer.name, layer.flop / 1e9)];
        let seconds = [
            Some(layer.forward),
            layer.forward_products,
            layer.backward_images,
            Some(layer.backward_weights),
            layer.backward_weights_products,
        ];
        for (sum, seconds) in sums.iter_mut().zip(seconds) {
            let Some(seconds) = seconds else {
                columns.push(format!("{:>16}", ""));
                continue;
            };
            sum.0 += layer.flop;
            sum.1 += seconds;
            columns.push(cell(layer.flop, seconds));
        }
        lines.push(columns.join(" "));
    }
    let sums = sums.map(|(flop, seconds)| cell(flop, seconds)).join(" ");
    lines.push(format!("{:<15} {sums}", "all"));
    lines.push(format!(
        "{batch} images; ms, and the part of the time that the products take at the machine's peak"
    ));
    lines.join("\n") + "\n"
}
