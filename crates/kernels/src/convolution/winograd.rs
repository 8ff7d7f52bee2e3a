//! Winograd's F(4x4, 3x3): a 4x4 tile of output from a 6x6 tile of input by 36 products a pair of channels, not 144.

mod backward;
mod filters;
mod forward;
mod tiles;
mod transforms;

pub(super) use backward::backward_weights;
pub(super) use forward::{backward_images, forward};

/// Side of a tile of input, and of every tile once transformed.
const INPUT_SIDE: usize = 6;

/// Side of a tile of output.
const OUTPUT_SIDE: usize = 4;

/// Elements of a transformed tile; for each of them there is one matrix product.
const POINTS: usize = INPUT_SIDE * INPUT_SIDE;
