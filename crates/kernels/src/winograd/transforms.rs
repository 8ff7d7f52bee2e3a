//! The transforms of F(4x4, 3x3) and their adjoints, sixteen channels at a time.
//!
//! Interpolation points 0, ±0.75, ±1.5 and infinity: the constants of the input and output transforms are exact in f32
//! and the error is that of a direct f32 convolution, 4 to 8 times below that of the customary 0, ±1, ±2.
//!
//! With points `p` and `f(p)` the product of `p - q` over the other finite points `q`: the row of `A^T`'s column for `p` is
//! `1, p, p^2, p^3`; the row of `G` is `(1, p, p^2) / f(p)`; the row of `B^T` holds the coefficients of the product of
//! `x - q` over the other finite points.

use crate::lanes::Lanes;

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

/// An array of as many elements as the literal says, each from its index; written out, for loops over arrays of registers
/// are not always unrolled.
macro_rules! each {
    (3, $index:ident => $element:expr) => {
        [each!(@ 0, $index, $element), each!(@ 1, $index, $element), each!(@ 2, $index, $element)]
    };
    (4, $index:ident => $element:expr) => {
        [
            each!(@ 0, $index, $element),
            each!(@ 1, $index, $element),
            each!(@ 2, $index, $element),
            each!(@ 3, $index, $element),
        ]
    };
    (6, $index:ident => $element:expr) => {
        [
            each!(@ 0, $index, $element),
            each!(@ 1, $index, $element),
            each!(@ 2, $index, $element),
            each!(@ 3, $index, $element),
            each!(@ 4, $index, $element),
            each!(@ 5, $index, $element),
        ]
    };
    (@ $value:literal, $index:ident, $element:expr) => {{
        let $index: usize = $value;
        $element
    }};
}
pub(super) use each;

/// Transforms along both axes: `$line` from `$from` to `$to` elements, first down the columns, then along the rows. Elements
/// come from `source` and go to `sink`, by row and column.
macro_rules! transforms {
    ($($(#[$attribute:meta])* $name:ident: $line:ident, $from:tt => $to:tt;)+) => {$(
        $(#[$attribute])*
        ///
        /// # Safety
        ///
        /// That of [`Lanes`].
        #[inline(always)]
        pub(super) unsafe fn $name<L: Lanes>(
            source: impl Fn(usize, usize) -> L,
            mut sink: impl FnMut(usize, usize, L),
        ) {
            // SAFETY: the caller's.
            unsafe {
                let half = each!($from, x => $line(each!($from, y => source(y, x))));
                each!($to, y => {
                    let line = $line(each!($from, x => half[x][y]));
                    each!($to, x => sink(y, x, line[x]));
                });
            }
        }
    )+};
}

transforms! {
    /// `B^T d B`: a tile of input.
    input: input_line, 6 => 6;
    /// `G g G^T`: a filter.
    filter: filter_line, 3 => 6;
    /// `A^T m A`: sums of products to a tile of output.
    output: output_line, 6 => 4;
    /// `A y A^T`, the adjoint of `output`: the gradient of a tile of output.
    output_adjoint: output_adjoint_line, 4 => 6;
    /// `G^T s G`, the adjoint of `filter`: sums of products to the gradient of a filter.
    filter_adjoint: filter_adjoint_line, 6 => 3;
}

#[inline(always)]
unsafe fn input_line<L: Lanes>(d: [L; 6]) -> [L; 6] {
    // SAFETY: the caller's.
    unsafe {
        let even_p = L::splat(-Q2).mul_add(d[2], d[4]);
        let odd_p = L::splat(-Q2).mul_add(d[1], d[3]).mul(L::splat(P));
        let even_q = L::splat(-P2).mul_add(d[2], d[4]);
        let odd_q = L::splat(-P2).mul_add(d[1], d[3]).mul(L::splat(Q));
        let ends =
            |a: L, b: L, c: L| L::splat(P2 * Q2).mul_add(a, L::splat(-(P2 + Q2)).mul_add(b, c));
        [
            ends(d[0], d[2], d[4]),
            even_p.add(odd_p),
            even_p.sub(odd_p),
            even_q.add(odd_q),
            even_q.sub(odd_q),
            ends(d[1], d[3], d[5]),
        ]
    }
}

#[inline(always)]
unsafe fn filter_line<L: Lanes>(g: [L; 3]) -> [L; 6] {
    // SAFETY: the caller's.
    unsafe {
        let even_p = L::splat(P2).mul_add(g[2], g[0]).mul(L::splat(FP));
        let odd_p = g[1].mul(L::splat(FP * P));
        let even_q = L::splat(Q2).mul_add(g[2], g[0]).mul(L::splat(FQ));
        let odd_q = g[1].mul(L::splat(FQ * Q));
        [
            g[0].mul(L::splat(F0)),
            even_p.add(odd_p),
            even_p.sub(odd_p),
            even_q.add(odd_q),
            even_q.sub(odd_q),
            g[2],
        ]
    }
}

#[inline(always)]
unsafe fn output_line<L: Lanes>(m: [L; 6]) -> [L; 4] {
    // SAFETY: the caller's.
    unsafe {
        let (sum_p, difference_p) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum_q, difference_q) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum_p).add(sum_q),
            L::splat(P).mul_add(difference_p, difference_q.mul(L::splat(Q))),
            L::splat(P2).mul_add(sum_p, sum_q.mul(L::splat(Q2))),
            L::splat(P3).mul_add(difference_p, L::splat(Q3).mul_add(difference_q, m[5])),
        ]
    }
}

#[inline(always)]
unsafe fn output_adjoint_line<L: Lanes>(y: [L; 4]) -> [L; 6] {
    // SAFETY: the caller's.
    unsafe {
        let even_p = L::splat(P2).mul_add(y[2], y[0]);
        let odd_p = L::splat(P3).mul_add(y[3], y[1].mul(L::splat(P)));
        let even_q = L::splat(Q2).mul_add(y[2], y[0]);
        let odd_q = L::splat(Q3).mul_add(y[3], y[1].mul(L::splat(Q)));
        [y[0], even_p.add(odd_p), even_p.sub(odd_p), even_q.add(odd_q), even_q.sub(odd_q), y[3]]
    }
}

#[inline(always)]
unsafe fn filter_adjoint_line<L: Lanes>(s: [L; 6]) -> [L; 3] {
    // SAFETY: the caller's.
    unsafe {
        let (sum_p, difference_p) =
            (s[1].add(s[2]).mul(L::splat(FP)), s[1].sub(s[2]).mul(L::splat(FP)));
        let (sum_q, difference_q) =
            (s[3].add(s[4]).mul(L::splat(FQ)), s[3].sub(s[4]).mul(L::splat(FQ)));
        [
            L::splat(F0).mul_add(s[0], sum_p.add(sum_q)),
            L::splat(P).mul_add(difference_p, difference_q.mul(L::splat(Q))),
            L::splat(P2).mul_add(sum_p, L::splat(Q2).mul_add(sum_q, s[5])),
        ]
    }
}
