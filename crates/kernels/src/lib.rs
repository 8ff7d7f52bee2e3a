//! VGG16's arithmetic on CPUs, on plain slices: convolution, pooling, dense layers, cross-entropy, optimizers.
//!
//! Every function takes its shape and reads `&[f32]`. Convolutions pass images on in [blocks](blocked) of 16 channels;
//! elsewhere images are NCHW, filters OIHW, dense weights `(out, in)`, all without gaps. Work is split into rayon tasks by
//! shape alone, so that a result has the same bits with any number of threads. Slices of a wrong length are a mistake of
//! the caller and panic.
//!
//! The fast kernels are held against plain ones ([`convolution::plain`], [`dense::plain`]) by property tests.

mod lanes;
mod matrix;
pub mod memory;
mod scratch;
mod vectorized;
mod winograd;

pub mod activation;
pub mod blocked;
pub mod buffers;
pub mod convolution;
pub mod cross_entropy;
pub mod dense;
pub mod machine;
pub mod optimizer;
pub mod pooling;
pub mod threads;
