//! Winograd's F(4x4, 3x3) on blocked activations: a 4x4 tile of output from a 6x6 tile of input by 36 products a pair of
//! channels, not 144.
//!
//! For each of the 36 points there is one product of matrices. Their factors and results lie as the transforms write
//! and read them, sixteen channels side by side:
//!
//! - inputs: `(points, blocks read, tiles, 16)`
//! - filters: `(pairs of blocks written, points, channels read, 32)`
//! - sums: `(points, 2, tiles, 16)`

mod backward;
mod filters;
mod finish;
mod forward;
mod product;
mod tiles;
mod transforms;

pub(crate) use backward::{backward_weights, backward_weights_products};
pub(crate) use finish::Finish;
pub(crate) use forward::{backward_images, forward, forward_products};

/// Elements of a transformed tile; for each of them there is one product of matrices.
const POINTS: usize = 36;

/// Channels that are written at a time: two blocks.
const PAIR: usize = 32;

/// What is computed: benches hold the products alone against the machine's peak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    All,
    /// Of whatever lies in the buffers; nothing is read or written beside them.
    Products,
}
