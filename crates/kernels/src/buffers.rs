//! Buffers that are used again.

use std::mem;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use crate::scratch::{line_slack, to_line};

/// Keeps buffers that are no longer needed, and lends them again.
///
/// The first touch of a page costs more than the arithmetic on it: activations of a batch are hundreds of MiB, and without
/// a store they would be new at every step. Clones share the store; it is emptied when the last of them is gone.
#[derive(Debug, Clone, Default)]
pub struct BufferStore<T>(Arc<Mutex<Vec<Vec<T>>>>);

/// A buffer of a store, which goes back when this value is dropped. It begins with a cache line.
#[derive(Debug)]
pub struct Buffer<T> {
    values: Vec<T>,
    range: Range<usize>,
    store: BufferStore<T>,
}

impl<T: Copy + Default> BufferStore<T> {
    /// Lends a buffer of this length, with anything in it.
    ///
    /// The shortest kept buffer that is long enough serves. Where none is, all that are kept are too short, and freed.
    pub fn take(&self, length: usize) -> Buffer<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = kept
            .iter()
            .enumerate()
            .filter(|(_, values)| length + line_slack::<T>() <= values.len())
            .min_by_key(|(_, values)| values.len())
            .map(|(index, _)| index);
        let values = if let Some(index) = fitting {
            kept.swap_remove(index)
        } else {
            kept.clear();
            vec![T::default(); length + line_slack::<T>()]
        };
        let start = to_line(&values);
        Buffer { values, range: start..start + length, store: self.clone() }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.range.clone()]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.range.clone()]
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let values = mem::take(&mut self.values);
        self.store.0.lock().unwrap_or_else(PoisonError::into_inner).push(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_went_back_is_lent_again() {
        let store = BufferStore::default();
        let mut first: Buffer<f32> = store.take(100);
        first[99] = 7.0;
        let place = first.as_ptr();
        drop(first);
        let again = store.take(90);
        assert_eq!((again.as_ptr(), again.len()), (place, 90));
        assert_ne!(store.take(90).as_ptr(), place);
    }

    #[test]
    fn the_shortest_that_is_long_enough_serves() {
        let store: BufferStore<u8> = BufferStore::default();
        let (long, short) = (store.take(1000), store.take(600));
        let (of_long, of_short) = (long.as_ptr(), short.as_ptr());
        drop((long, short));
        let first = store.take(10);
        assert_eq!((first.as_ptr(), first.len()), (of_short, 10));
        assert_eq!(store.take(700).as_ptr(), of_long);
    }

    #[test]
    fn what_is_too_short_is_freed_before_more_is_taken() {
        let store: BufferStore<u8> = BufferStore::default();
        drop((store.take(100), store.take(200)));
        drop(store.take(300));
        let kept: Vec<usize> = store.0.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(kept, [300 + line_slack::<u8>()]);
    }
}
