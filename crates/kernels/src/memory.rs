//! An allocator for large buffers: whole cache lines, and large pages.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use crate::scratch::LINE_BYTES;

/// The system's allocator, but for large buffers: they begin with a cache line, and get pages of 2 MiB where Linux gives
/// them on request.
///
/// The first touch of each 4 KiB page costs the kernel's time; activations of a batch and the moments of `fc6` are
/// hundreds of MiB each, and with the usual pages touching them took as long as the arithmetic. A register of sixteen floats
/// is as long as a cache line and costs twice where it lies across two, which all of them do in a buffer that begins
/// anywhere. Large buffers are copied when they change their size. A program declares it with `#[global_allocator]`. Where large pages are not to be had, nothing changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct LargePages;

/// From this many bytes on a buffer is large: below, few large pages would lie wholly in it.
const LARGE_BYTES: usize = 8 << 20;

// SAFETY: what is given out comes from the system's allocator. A large buffer lies at least 16 bytes behind the start of
// what the system gave, as that is aligned to 16 bytes at least; how far is in the byte before it.
unsafe impl GlobalAlloc for LargePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { place(layout, |layout| System.alloc(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { place(layout, |layout| System.alloc_zeroed(layout)) }
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's; a new size is a valid one.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            if !is_large(layout) && !is_large(new_layout) {
                return System.realloc(buffer, layout, new_size);
            }
            let moved = self.alloc(new_layout);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(buffer, moved, layout.size().min(new_size));
                self.dealloc(buffer, layout);
            }
            moved
        }
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        // SAFETY: the caller's; a large buffer has its offset before it, and came with this layout.
        unsafe {
            if is_large(layout) {
                let offset = usize::from(buffer.sub(1).read());
                System.dealloc(buffer.sub(offset), with_line(layout));
            } else {
                System.dealloc(buffer, layout);
            }
        }
    }
}

/// Whether a buffer is placed by us. Those of a coarser alignment than ours are left to the system.
fn is_large(layout: Layout) -> bool {
    LARGE_BYTES <= layout.size()
        && layout.size() <= isize::MAX as usize - 2 * LINE_BYTES
        && layout.align() <= LINE_BYTES
}

/// What is taken from the system for a large buffer: a cache line more.
fn with_line(layout: Layout) -> Layout {
    const ALIGNMENT: usize = 16;
    // SAFETY: the alignment is a power of two, and a large size leaves room.
    unsafe { Layout::from_size_align_unchecked(layout.size() + LINE_BYTES, ALIGNMENT) }
}

/// Takes a buffer from the system, and places it if it is large.
///
/// # Safety
///
/// `take` gives what an allocator would for a layout.
unsafe fn place(layout: Layout, take: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
    if !is_large(layout) {
        return take(layout);
    }
    let start = take(with_line(layout));
    if start.is_null() {
        return start;
    }
    let offset = LINE_BYTES - start.addr() % LINE_BYTES;
    // SAFETY: the offset is 16 to 64, as the start is aligned to 16; so much more was taken.
    unsafe {
        let buffer = start.add(offset);
        buffer.sub(1).write(u8::try_from(offset).unwrap_or(0));
        advise(buffer, layout.size());
        buffer
    }
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
    fn large_buffers_are_zero_and_keep_their_content_when_they_change_size() {
        let size = LARGE_BYTES;
        let of = |size| Layout::from_size_align(size, 4).unwrap();
        // SAFETY: the layouts have sizes, and each buffer goes back, or on, as it was taken.
        unsafe {
            let buffer = LargePages.alloc_zeroed(of(size));
            assert_eq!(buffer.addr() % LINE_BYTES, 0);
            for at in [0, 4095, size / 2, size - 1] {
                assert_eq!(buffer.add(at).read(), 0);
                buffer.add(at).write(7);
            }
            let mut buffer = buffer;
            let mut before = size;
            for after in [2 * size, size + 1, size - 1, 100, size, 5] {
                buffer = LargePages.realloc(buffer, of(before), after);
                assert!(!buffer.is_null());
                assert!(!is_large(of(after)) || buffer.addr().is_multiple_of(LINE_BYTES));
                assert_eq!(buffer.read(), 7);
                before = after;
            }
            LargePages.dealloc(buffer, of(before));
        }
    }

    #[test]
    fn coarser_alignments_are_left_to_the_system() {
        let layout = Layout::from_size_align(LARGE_BYTES, 4096).unwrap();
        // SAFETY: the layout has a size, and the buffer goes back as it was taken.
        unsafe {
            let buffer = LargePages.alloc(layout);
            assert!(!buffer.is_null() && buffer.addr().is_multiple_of(4096));
            LargePages.dealloc(buffer, layout);
        }
    }
}
