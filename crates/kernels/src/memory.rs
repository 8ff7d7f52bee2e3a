//! An allocator that asks for large pages.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with pages of 2 MiB for large buffers where Linux gives them on request.
///
/// The first touch of each 4 KiB page costs the kernel's time; activations of a batch and the gradient of `fc6` are
/// hundreds of MiB each, new at every step, and with the usual pages touching them took as long as the arithmetic. A
/// program declares it with `#[global_allocator]`. Where large pages are not to be had, nothing changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargePages;

/// From this many bytes on, large pages are asked for: below, few would lie wholly in the buffer.
const LARGE_BYTES: usize = 8 << 20;

// SAFETY: all that is given out comes from the system's allocator and goes back to it unchanged.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        advised(unsafe { System.realloc(buffer, layout, new_size) }, new_size)
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(buffer, layout) }
    }
}

/// The buffer, after asking for large pages if it is large.
fn advised(buffer: *mut u8, size: usize) -> *mut u8 {
    if LARGE_BYTES <= size && !buffer.is_null() {
        advise(buffer, size);
    }
    buffer
}

#[cfg(target_os = "linux")]
fn advise(buffer: *mut u8, size: usize) {
    /// The usual size of a page, to which the advice is aligned; where pages are larger the call fails, and nothing is lost.
    const PAGE_BYTES: usize = 4096;
    let offset = buffer.align_offset(PAGE_BYTES);
    let length = size.saturating_sub(offset) / PAGE_BYTES * PAGE_BYTES;
    if length > 0 {
        // SAFETY: the pages lie wholly in the buffer, and the advice changes nothing in them.
        let _ = unsafe {
            libc::madvise(buffer.wrapping_add(offset).cast(), length, libc::MADV_HUGEPAGE)
        };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_zero_and_keep_their_content_when_they_grow() {
        let layout = Layout::from_size_align(LARGE_BYTES, 64).unwrap();
        // SAFETY: the layout has a size, and the buffer is given back as it was taken.
        unsafe {
            let buffer = LargePages.alloc_zeroed(layout);
            assert!(!buffer.is_null());
            for at in [0, 4095, LARGE_BYTES / 2, LARGE_BYTES - 1] {
                assert_eq!(buffer.add(at).read(), 0);
                buffer.add(at).write(7);
            }
            let grown = LargePages.realloc(buffer, layout, 2 * LARGE_BYTES);
            assert_eq!(grown.add(LARGE_BYTES - 1).read(), 7);
            let layout = Layout::from_size_align(2 * LARGE_BYTES, 64).unwrap();
            LargePages.dealloc(grown, layout);
        }
    }
}
