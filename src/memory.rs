//! The module's memory: small blocks from free lists by size, what is larger from the standard
//! allocator; and a comparison of memory by words. It is for one thread alone, and must never give a
//! block out twice or move one that is in use.
//!
//! Why: of a request that makes a call, the standard allocator of wasm32-wasip1 takes a tenth of all
//! instructions, and its C library compares byte by byte (see docs/performance.md). The crate `talc`
//! was measured and takes as much as the standard one. Small blocks are never given back to it, so
//! the memory of a size stays as large as it has been at most.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

#[cfg(test)]
mod tests;

/// What every block is a multiple of, and aligned to.
const STEP: usize = 16;

/// Up to this size, a class for each [`STEP`].
const FINE: usize = 256;

/// Above [`FINE`], a class for each of this.
const COARSE_STEP: usize = 256;

/// The largest block of a class.
const LARGEST: usize = 2048;

/// 16 fine classes, then 512 to 2048.
const CLASSES: usize = 23;

/// What is taken from the standard allocator at once.
const SLAB: usize = 16 * 1024;

/// The classes of an allocator and their memory.
struct State {
    /// The first free block of each class; each free block begins with the address of the next.
    free: [*mut u8; CLASSES],
    /// What is left of the last slab.
    rest: *mut u8,
    rest_size: usize,
}

/// Blocks by size class, from slabs of another allocator.
pub(crate) struct SizeClasses<A = System> {
    state: UnsafeCell<State>,
    backing: A,
}

impl<A> SizeClasses<A> {
    /// An allocator without any memory yet.
    pub(crate) const fn new(backing: A) -> SizeClasses<A> {
        let state = State { free: [ptr::null_mut(); CLASSES], rest: ptr::null_mut(), rest_size: 0 };
        SizeClasses { state: UnsafeCell::new(state), backing }
    }
}

/// The module's allocator.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: SizeClasses = SizeClasses::new(System);

// SAFETY: a VM of Envoy's has one thread. Natively no test shares one between threads.
#[cfg(target_arch = "wasm32")]
unsafe impl<A> Sync for SizeClasses<A> {}

/// The class of a block of this layout, and the size of its blocks; `None` where it has none.
#[inline(always)]
fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size();
    if size > LARGEST || layout.align() > STEP {
        return None;
    }
    // No overflow: the size is small, and at least one step is taken.
    Some(if size <= FINE {
        let steps = size.max(1).div_ceil(STEP);
        (steps.wrapping_sub(1), steps.wrapping_mul(STEP))
    } else {
        let steps = size.div_ceil(COARSE_STEP);
        (steps.wrapping_add(14), steps.wrapping_mul(COARSE_STEP))
    })
}

impl<A: GlobalAlloc> SizeClasses<A> {
    /// A block that was never given out.
    ///
    /// # Safety
    ///
    /// Nobody else may be using the state.
    #[cold]
    #[inline(never)]
    unsafe fn fresh(&self, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; the reference ends with this function.
        let state = unsafe { &mut *self.state.get() };
        if state.rest_size < size {
            // SAFETY: the size is not zero, and the alignment is a power of two.
            let slab = unsafe { Layout::from_size_align_unchecked(SLAB, STEP) };
            // SAFETY: the layout's size is not zero.
            let slab = unsafe { self.backing.alloc(slab) };
            if slab.is_null() {
                return slab;
            }
            state.rest = slab;
            state.rest_size = SLAB;
        }
        let block = state.rest;
        state.rest_size = state.rest_size.wrapping_sub(size);
        // SAFETY: the slab has at least `size` more bytes, which `rest_size` counts.
        state.rest = unsafe { block.add(size) };
        block
    }
}

// SAFETY: a block comes from a slab that is never freed, from the free list of its class, or from
// the backing allocator. It is in no list while it is out, and blocks of a slab do not overlap:
// each is as large as its class, and taken off the rest. All are aligned to 16 bytes, since slabs and
// sizes are. The class follows from the layout alone, so a block goes back to where it came from.
unsafe impl<A: GlobalAlloc> GlobalAlloc for SizeClasses<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((class, size)) = class(layout) else {
            // SAFETY: the caller's promise about the layout.
            return unsafe { self.backing.alloc(layout) };
        };
        // SAFETY: one thread, and this reference ends before any other function is called.
        let state = unsafe { &mut *self.state.get() };
        let Some(first) = state.free.get_mut(class) else { return ptr::null_mut() };
        let block = *first;
        if block.is_null() {
            // SAFETY: one thread; `state` is not used any more.
            return unsafe { self.fresh(size) };
        }
        // SAFETY: a free block begins with the address of the next, and is aligned for it.
        *first = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((class, _)) = class(layout) else {
            // SAFETY: the caller's promise: the layout is that of `alloc`, which took this way too.
            return unsafe { self.backing.dealloc(block, layout) };
        };
        // SAFETY: one thread, and this reference ends before any other function is called.
        let state = unsafe { &mut *self.state.get() };
        if let Some(first) = state.free.get_mut(class) {
            // SAFETY: the block is the allocator's again, at least 16 bytes long, and aligned.
            unsafe { block.cast::<*mut u8>().write(*first) };
            *first = block;
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size does not overflow with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class(layout), class(new)) {
            (None, None) => {
                // SAFETY: the caller's promise; the backing allocator gave the block.
                return unsafe { self.backing.realloc(block, layout, new_size) };
            }
            (Some((old, _)), Some((new, _))) if old == new => return block,
            _ => {}
        }
        // SAFETY: the caller's promise: the new size is not zero.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both blocks have at least that many bytes, and are not the same.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
            // SAFETY: the caller's promise: block and layout belong together.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// Compares memory as C's `memcmp`, eight bytes at a time; the C library's goes byte by byte. Never inlined:
/// it would be in every sort, 50 kB.
///
/// # Safety
///
/// Both must be readable for `n` bytes.
#[inline(never)]
pub(crate) unsafe fn compare(a: *const u8, b: *const u8, n: usize) -> i32 {
    if n < 8 {
        for at in 0..n {
            // SAFETY: this byte is within both.
            let (x, y) = unsafe { (*a.add(at), *b.add(at)) };
            if x != y {
                return if x < y { -1 } else { 1 };
            }
        }
        return 0;
    }
    // The last eight bytes may overlap with those before them, which are equal by then.
    let last = n.wrapping_sub(8);
    let mut at: usize = 0;
    loop {
        // SAFETY: `at` is at most `last`, so eight bytes are left in both; they need not be aligned.
        let (x, y) = unsafe {
            (a.add(at).cast::<u64>().read_unaligned(), b.add(at).cast::<u64>().read_unaligned())
        };
        if x != y {
            return if u64::from_be(x) < u64::from_be(y) { -1 } else { 1 };
        }
        if at == last {
            return 0;
        }
        at = at.wrapping_add(8).min(last);
    }
}
