//! What products of matrices share: rows in a slice, and blocks of as many rows as there are registers for.

/// Rows in a slice, `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub count: usize,
    pub stride: usize,
}

impl Rows<'_> {
    /// # Panics
    ///
    /// Unless each row has `length` elements in the slice.
    pub(crate) fn assert_reach(&self, length: usize) {
        let Some(last) = self.count.checked_sub(1) else { return };
        let end = last.checked_mul(self.stride).and_then(|start| start.checked_add(length));
        assert!(end.is_some_and(|end| end <= self.values.len()), "rows reach beyond their slice");
    }

    /// Where an element of a row lies.
    ///
    /// # Safety
    ///
    /// It must lie in the slice.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, row: usize, column: usize) -> *const f32 {
        // SAFETY: the caller's.
        unsafe { self.values.as_ptr().add(row * self.stride + column) }
    }
}

/// Runs `$kernel::<L, ROWS, COLUMNS>` for a number of rows that is known at run time only.
macro_rules! with_rows {
    ($rows:expr, $kernel:ident::<$lanes:ident, $columns:literal>$arguments:tt) => {
        match $rows {
            1 => $kernel::<$lanes, 1, $columns>$arguments,
            2 => $kernel::<$lanes, 2, $columns>$arguments,
            3 => $kernel::<$lanes, 3, $columns>$arguments,
            4 => $kernel::<$lanes, 4, $columns>$arguments,
            5 => $kernel::<$lanes, 5, $columns>$arguments,
            6 => $kernel::<$lanes, 6, $columns>$arguments,
            7 => $kernel::<$lanes, 7, $columns>$arguments,
            8 => $kernel::<$lanes, 8, $columns>$arguments,
            9 => $kernel::<$lanes, 9, $columns>$arguments,
            10 => $kernel::<$lanes, 10, $columns>$arguments,
            11 => $kernel::<$lanes, 11, $columns>$arguments,
            12 => $kernel::<$lanes, 12, $columns>$arguments,
            13 => $kernel::<$lanes, 13, $columns>$arguments,
            14 => $kernel::<$lanes, 14, $columns>$arguments,
            _ => unreachable!("no CPU has registers for more"),
        }
    };
}
pub(crate) use with_rows;

/// Parts `count` into as few parts of at most `most` as it takes, as even as they can be: `(first, length)` of each.
pub(crate) fn even_parts(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = count.div_ceil(most);
    let (short, longer) = (count / parts.max(1), count % parts.max(1));
    (0..parts)
        .map(move |part| (part * short + part.min(longer), short + usize::from(part < longer)))
}
