//! What the parts of a case take that cannot be left out: its products at the machine's peak, the optimizer's bytes at its
//! bandwidth. Where both go on at a time, the longer of the two.

use kernels::{convolution::FEW_CHANNELS, machine};
use model::{Cut, LayerKind};
use serde::Serialize;

use super::{Case, Part, own::ARCHITECTURE};

/// What the machine can do at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machine {
    /// Threads that compute.
    pub threads: usize,
    /// Multiplications and additions of f32 a second, by all threads, in registers.
    pub flop_per_second: f64,
    /// Bytes a second between memory and all threads.
    pub bytes_per_second: f64,
}

impl Machine {
    /// Measures it, in some seconds.
    pub fn measured(threads: usize) -> Self {
        Self {
            threads,
            flop_per_second: machine::multiply_add_peak(),
            bytes_per_second: machine::memory_bandwidth(),
        }
    }

    /// The better of two measurements: what others do on the machine only lowers them.
    #[must_use]
    pub fn or_better(self, other: Self) -> Self {
        Self {
            threads: self.threads,
            flop_per_second: self.flop_per_second.max(other.flop_per_second),
            bytes_per_second: self.bytes_per_second.max(other.bytes_per_second),
        }
    }
}

/// Work that cannot be left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bound {
    /// Multiplications and additions of the matrix products: of convolutions as Winograd's F(4x4, 3x3) needs them.
    pub flop: f64,
    /// Bytes of parameters and moments that Adam reads and writes.
    pub optimizer_bytes: f64,
}

/// What Adam reads, three floats a parameter, and writes, as many; a gradient can stay in its factors.
const ADAM_BYTES: f64 = 24.0;

impl Bound {
    /// That of a case.
    ///
    /// # Panics
    ///
    /// Never: the architecture has the layers that cases name.
    pub fn of(case: Case) -> Self {
        let (Some(stretch), Some(images)) = (case.part().map(Part::stretch), case.images()) else {
            return Self { flop: 0.0, optimizer_bytes: 0.0 };
        };
        let cut = |layer| ARCHITECTURE.cut_after(layer).expect("the architecture has the layer");
        let (from, to) = (stretch.from.map_or(Cut::IMAGES, cut), cut(stretch.to));
        let mut bound = Self { flop: 0.0, optimizer_bytes: 0.0 };
        let mut is_above_learning = false;
        for (index, layer) in
            ARCHITECTURE.layers()[..to.index()].iter().enumerate().skip(from.index())
        {
            let shape =
                ARCHITECTURE.shape_at(Cut::before(index)).expect("the cut is in the network");
            let flop = images as f64 * forward_flop(layer.kind, &shape);
            bound.flop += flop;
            if is_above_learning {
                bound.flop += flop;
            }
            if stretch.learns(&layer.name) && !layer.parameters().is_empty() {
                bound.flop += flop;
                is_above_learning = true;
                if stretch.is_classified() {
                    let parameters = layer.parameters().into_iter();
                    let floats: usize = parameters.map(|p| p.shape.iter().product::<usize>()).sum();
                    bound.optimizer_bytes += ADAM_BYTES * floats as f64;
                }
            }
        }
        bound
    }

    /// The seconds that a machine needs at least.
    pub fn seconds(self, machine: Machine) -> f64 {
        let products = self.flop / machine.flop_per_second;
        products.max(self.optimizer_bytes / machine.bytes_per_second)
    }
}

/// Multiplications and additions of a layer's products for one image of this shape. The gradients of images and weights
/// take as many.
pub(super) fn forward_flop(kind: LayerKind, shape: &[usize]) -> f64 {
    match kind {
        LayerKind::Convolution { in_channels, out_channels } => {
            let channels = (in_channels * out_channels) as f64;
            let tiles = (shape[1].div_ceil(4) * shape[2].div_ceil(4)) as f64;
            let pixels = (shape[1] * shape[2]) as f64;
            let products = if in_channels <= FEW_CHANNELS { 9.0 * pixels } else { 36.0 * tiles };
            2.0 * channels * products
        }
        LayerKind::Dense { in_features, out_features, .. } => {
            2.0 * (in_features * out_features) as f64
        }
        LayerKind::MaxPool | LayerKind::Dropout { .. } => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_products_of_the_network() {
        let forward = Bound::of(Case::Forward1);
        // 15.35 thousand million products by the definition; a quarter of them, but for the first layer's 0.0867, and the
        // tiles of the last block, which are larger than its images.
        let all_but_first = 15.346_630_656e9 - 0.086_704_128e9;
        let last = 3.0 * 512.0 * 512.0 * (36.0 * 16.0 - 9.0 * 196.0 / 4.0);
        let expected = 2.0 * (0.086_704_128e9 + all_but_first / 4.0 + last);
        assert!((forward.flop - expected).abs() < 1e3, "{} {expected}", forward.flop);
        assert!(forward.optimizer_bytes.abs() < 1.0);
        let step = Bound::of(Case::Step8);
        assert!((step.flop - 8.0 * (3.0 * forward.flop - 2.0 * 0.086_704_128e9)).abs() < 1e4);
    }

    #[test]
    fn a_head_on_features_needs_no_gradient_of_its_inputs() {
        let head = Bound::of(Case::Head32);
        let products = 32.0 * 2.0 * (2.0 * 25_088.0 * 4096.0 + 3.0 * 4096.0 * 311.0);
        assert!((head.flop - products).abs() < 1e4);
        let parameters = 25_089.0 * 4096.0 + 4097.0 * 311.0;
        assert!((head.optimizer_bytes - 24.0 * parameters).abs() < 1e3);
    }
}
