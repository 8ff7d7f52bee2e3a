//! The transforms of F(4x4, 3x3) and their adjoints.
//!
//! Interpolation points 0, ±0.75, ±1.5 and infinity: the constants of the input and output transforms are exact in f32
//! and the error is that of a direct f32 convolution, 4 to 8 times below that of the customary 0, ±1, ±2.
//!
//! With points `p` and `f(p)` the product of `p - q` over the other finite points `q`: the row of `A^T`'s column for `p` is
//! `1, p, p^2, p^3`; the row of `G` is `(1, p, p^2) / f(p)`; the row of `B^T` holds the coefficients of the product of
//! `x - q` over the other finite points.

/// Tiles or channels transformed side by side: the floats of an AVX2 register.
pub(super) const LANES: usize = 8;

const P: f32 = 0.75;
const Q: f32 = 1.5;
const P2: f32 = P * P;
const Q2: f32 = Q * Q;
const P3: f32 = P * P2;
const Q3: f32 = Q * Q2;
/// `1 / f(0)`.
const F0: f32 = 1.0 / (P2 * Q2);
/// `1 / f(±0.75)`.
const FP: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
/// `1 / f(±1.5)`.
const FQ: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));

/// Defines transforms of many tiles along both axes: element `i` of tile `t` lies at `i * stride + t`, row-major.
///
/// Strides are at least the number of tiles, rounded up to whole [`LANES`]; the surplus is transformed as well. Plain
/// loops, because closures over arrays as large as these are not compiled for the features of the caller.
macro_rules! transforms {
    ($($(#[$attribute:meta])* $name:ident: $line:ident, $from:literal => $to:literal;)+) => {$(
        $(#[$attribute])*
        #[inline(always)]
        pub(super) fn $name(tiles: usize, source: &[f32], source_stride: usize, target: &mut [f32], target_stride: usize) {
            let mut column = [[0.0; LANES]; $from];
            let mut half = [[[0.0; LANES]; $from]; $to];
            let mut row = [[0.0; LANES]; $to];
            for first in (0..tiles).step_by(LANES) {
                for x in 0..$from {
                    for y in 0..$from {
                        let start = (y * $from + x) * source_stride + first;
                        column[y].copy_from_slice(&source[start..start + LANES]);
                    }
                    for lane in 0..LANES {
                        let sums = $line(std::array::from_fn(|y| column[y][lane]));
                        for y in 0..$to {
                            half[y][x][lane] = sums[y];
                        }
                    }
                }
                for y in 0..$to {
                    for lane in 0..LANES {
                        let sums = $line(std::array::from_fn(|x| half[y][x][lane]));
                        for x in 0..$to {
                            row[x][lane] = sums[x];
                        }
                    }
                    for x in 0..$to {
                        let start = (y * $to + x) * target_stride + first;
                        target[start..start + LANES].copy_from_slice(&row[x]);
                    }
                }
            }
        }
    )+};
}

transforms! {
    /// `B^T d B`: tiles of input.
    input: input_line, 6 => 6;
    /// `G g G^T`: filters.
    filter: filter_line, 3 => 6;
    /// `A^T m A`: sums of products to tiles of output.
    output: output_line, 6 => 4;
    /// `A y A^T`, the adjoint of `output`: gradients of tiles of output.
    output_adjoint: output_adjoint_line, 4 => 6;
    /// `G^T s G`, the adjoint of `filter`: sums of products to gradients of filters.
    filter_adjoint: filter_adjoint_line, 6 => 3;
}

#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn input_line(d: [f32; 6]) -> [f32; 6] {
    let even_p = d[4] - Q2 * d[2];
    let odd_p = P * (d[3] - Q2 * d[1]);
    let even_q = d[4] - P2 * d[2];
    let odd_q = Q * (d[3] - P2 * d[1]);
    [
        P2 * Q2 * d[0] - (P2 + Q2) * d[2] + d[4],
        even_p + odd_p,
        even_p - odd_p,
        even_q + odd_q,
        even_q - odd_q,
        P2 * Q2 * d[1] - (P2 + Q2) * d[3] + d[5],
    ]
}

#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn filter_line(g: [f32; 3]) -> [f32; 6] {
    let even_p = FP * (g[0] + P2 * g[2]);
    let odd_p = FP * P * g[1];
    let even_q = FQ * (g[0] + Q2 * g[2]);
    let odd_q = FQ * Q * g[1];
    [F0 * g[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, g[2]]
}

#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn output_line(m: [f32; 6]) -> [f32; 4] {
    let (sum_p, difference_p) = (m[1] + m[2], m[1] - m[2]);
    let (sum_q, difference_q) = (m[3] + m[4], m[3] - m[4]);
    [
        m[0] + sum_p + sum_q,
        P * difference_p + Q * difference_q,
        P2 * sum_p + Q2 * sum_q,
        P3 * difference_p + Q3 * difference_q + m[5],
    ]
}

#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn output_adjoint_line(y: [f32; 4]) -> [f32; 6] {
    let even_p = y[0] + P2 * y[2];
    let odd_p = P * y[1] + P3 * y[3];
    let even_q = y[0] + Q2 * y[2];
    let odd_q = Q * y[1] + Q3 * y[3];
    [y[0], even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y[3]]
}

#[expect(clippy::inline_always, reason = "it must be compiled for the features of its caller")]
#[inline(always)]
fn filter_adjoint_line(s: [f32; 6]) -> [f32; 3] {
    let (sum_p, difference_p) = (FP * (s[1] + s[2]), FP * (s[1] - s[2]));
    let (sum_q, difference_q) = (FQ * (s[3] + s[4]), FQ * (s[3] - s[4]));
    [F0 * s[0] + sum_p + sum_q, P * difference_p + Q * difference_q, P2 * sum_p + Q2 * sum_q + s[5]]
}
