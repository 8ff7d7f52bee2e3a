//! Memory that is kept between tasks and between kernels, and output that tasks share.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

thread_local! {
    /// One for each task that is under way: a thread that waits for tasks may run some of them itself.
    static OF_TASKS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// One for each kernel that is under way, whose tasks share it.
static OF_KERNELS: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Bytes of a cache line: a register of sixteen floats that lies across two costs twice.
pub(crate) const LINE_BYTES: usize = 64;

/// Elements before the first that begins a cache line.
pub(crate) fn to_line<T>(values: &[T]) -> usize {
    values.as_ptr().align_offset(LINE_BYTES)
}

/// Elements that a buffer needs beyond its length, so that it can begin with a cache line.
pub(crate) const fn line_slack<T>() -> usize {
    LINE_BYTES / size_of::<T>()
}

/// Lends a task buffers of the given lengths, with any finite or non-finite values in them, from its thread's store. The
/// first begins with a cache line; so do the others if the lengths are whole lines.
///
/// Fresh buffers of some MiB for each task would cost a page fault every 4 KiB.
pub(crate) fn with_buffers<const COUNT: usize>(
    lengths: [usize; COUNT],
    work: impl FnOnce([&mut [f32]; COUNT]),
) {
    let mut buffer = OF_TASKS.with_borrow_mut(Vec::pop).unwrap_or_default();
    work(parts(&mut buffer, lengths));
    OF_TASKS.with_borrow_mut(|buffers| buffers.push(buffer));
}

/// Lends a kernel buffers that all its tasks see, as [`with_buffers`] does; they are kept for the next kernel.
pub(crate) fn with_shared_buffers<const COUNT: usize>(
    lengths: [usize; COUNT],
    work: impl FnOnce([&mut [f32]; COUNT]),
) {
    let kept = || OF_KERNELS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = kept().pop().unwrap_or_default();
    work(parts(&mut buffer, lengths));
    kept().push(buffer);
}

/// The buffer, made longer if need be, in parts.
fn parts<const COUNT: usize>(
    buffer: &mut Vec<f32>,
    lengths: [usize; COUNT],
) -> [&mut [f32]; COUNT] {
    let total = lengths.iter().sum::<usize>() + line_slack::<f32>();
    if buffer.len() < total {
        // What was in it need not be copied.
        *buffer = Vec::new();
        buffer.resize(total, 0.0);
    }
    let start = to_line(buffer);
    let mut rest = &mut buffer[start..];
    lengths.map(|length| {
        let (taken, others) = std::mem::take(&mut rest).split_at_mut(length);
        rest = others;
        taken
    })
}

/// Elements of an array of this shape.
///
/// # Panics
///
/// If no slice could be as long: a product that wrapped would let a small slice pass for it.
pub(crate) fn elements(shape: &[usize]) -> usize {
    shape
        .iter()
        .try_fold(1_usize, |product, &extent| product.checked_mul(extent))
        .expect("an array has fewer elements than memory has bytes")
}

/// A slice of which several tasks write different parts.
pub(crate) struct SharedSlice<'a, T = f32> {
    start: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, which may be sent; its users keep the parts apart.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    /// The first element, for kernels that write through pointers.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData }
    }

    /// The elements of `range`.
    ///
    /// # Safety
    ///
    /// While the result lives, no other call may have given out any of its elements.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps the parts apart")]
    pub(crate) unsafe fn range_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "a part lies outside the slice"
        );
        // SAFETY: the range lies in the slice borrowed for 'a, and the caller keeps it apart from all others.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
