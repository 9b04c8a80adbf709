//! Memory for a call: a driver lives for one, so what it frees is of no use to it.
//!
//! The first 64 KiB come from a static and are never given back. A driver that needs no more
//! never grows its memory, which would cost the host two changes of its address space for
//! each call, and calls at a time would wait for each other there. What is beyond comes
//! from the target's own allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;

const LENGTH: usize = 64 << 10;

/// The arena, and the allocator behind it.
pub(crate) struct Arena {
    bytes: UnsafeCell<[u8; LENGTH]>,
    taken: UnsafeCell<usize>,
}

// SAFETY: an instance has one thread: the contract has none, and the target is built
// without them.
#[expect(unsafe_code, reason = "a global allocator is shared by nature")]
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Self { bytes: UnsafeCell::new([0; LENGTH]), taken: UnsafeCell::new(0) }
    }

    fn holds(&self, pointer: *const u8) -> bool {
        let start = self.bytes.get().addr();
        (start..start + LENGTH).contains(&pointer.addr())
    }
}

#[expect(unsafe_code, reason = "an allocator hands out pointers")]
// SAFETY: what is handed out lies within the static, is aligned, and is never handed out
// again; all else is the system allocator's, and goes back to it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.bytes.get().cast::<u8>();
        // SAFETY: there is one thread, and nothing is called while the reference lives.
        let taken = unsafe { &mut *self.taken.get() };
        let padding = (start.addr() + *taken).wrapping_neg() & (layout.align() - 1);
        let room = LENGTH - *taken;
        match padding.checked_add(layout.size()) {
            Some(needed) if needed <= room => {
                let at = *taken + padding;
                *taken += needed;
                // SAFETY: `at` and the size behind it are within the static.
                unsafe { start.add(at) }
            }
            // SAFETY: the caller's promise about the layout is passed on.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !self.holds(pointer) {
            // SAFETY: it is not the arena's, so it came from there.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "an allocator is called with promises")]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_aligned_apart_and_may_go_beyond() {
        let arena = Box::new(Arena::new());
        let mut last = 0;
        for (size, align) in [(1, 1), (8, 8), (3, 1), (100, 16), (LENGTH / 2, 4)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: no size is 0.
            let found = unsafe { arena.alloc(layout) };
            assert!(arena.holds(found) && found.addr().is_multiple_of(align));
            assert!(found.addr() >= last);
            last = found.addr() + size;
        }
        let layout = Layout::from_size_align(LENGTH / 2, 4).unwrap();
        // SAFETY: the size is not 0, and it is freed with what it was made with.
        unsafe {
            let beyond = arena.alloc(layout);
            assert!(!beyond.is_null() && !arena.holds(beyond));
            arena.dealloc(beyond, layout);
        }
    }
}
