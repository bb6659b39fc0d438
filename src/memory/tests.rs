//! Random operations against a model, small enough for Miri. Slabs are never given back, so it has to be
//! told: `MIRIFLAGS=-Zmiri-ignore-leaks cargo +nightly miri test --lib memory`.

use std::collections::BTreeMap;

use super::*;

/// Numbers that look random, by xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap()
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn classes_hold_their_sizes() {
    let mut largest = BTreeMap::new();
    for size in 1..=LARGEST {
        let (class, block) = class(layout(size, 1)).unwrap();
        assert!(size <= block && block.is_multiple_of(STEP) && class < CLASSES, "{size}");
        assert_eq!(*largest.entry(class).or_insert(block), block, "{size}: one size for a class");
    }
    assert_eq!(largest.len(), CLASSES, "each class is used");
    assert_eq!(class(layout(LARGEST + 1, 1)), None);
    assert_eq!(class(layout(16, 32)), None, "an alignment that blocks do not have");
    assert_eq!(class(layout(1, 16)), Some((0, 16)));
}

#[test]
fn a_block_grows_out_of_the_classes_and_shrinks_into_them() {
    let memory = SizeClasses::new(System);
    let filled = |block: *mut u8| {
        // SAFETY: the block is out, and its first bytes were filled.
        unsafe { std::slice::from_raw_parts(block, LARGEST) }.iter().all(|byte| *byte == 7)
    };
    // SAFETY: its size is not zero, and it is written within it.
    let block = unsafe {
        let block = memory.alloc(layout(LARGEST, 1));
        block.write_bytes(7, LARGEST);
        block
    };
    // SAFETY: each is out, with the layout that is named.
    unsafe {
        let grown = memory.realloc(block, layout(LARGEST, 1), LARGEST + 1);
        assert!(grown != block && filled(grown));
        assert_eq!(memory.alloc(layout(LARGEST, 1)), block, "the small one is free again");
        let shrunk = memory.realloc(grown, layout(LARGEST + 1, 1), LARGEST);
        assert!(shrunk != grown && filled(shrunk));
    }
}

/// Every block keeps its own bytes, whatever is allocated, grown, shrunk and freed beside it.
#[test]
fn blocks_are_apart_and_keep_their_bytes() {
    let memory = SizeClasses::new(System);
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    // Address, layout and the byte that fills it.
    let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
    let check = |(block, layout, byte): &(*mut u8, Layout, u8)| {
        // SAFETY: the block is out, and was filled.
        let bytes = unsafe { std::slice::from_raw_parts(*block, layout.size()) };
        assert!(bytes.iter().all(|b| b == byte), "{layout:?}");
    };
    for step in 0..if cfg!(miri) { 300 } else { 60_000_usize } {
        let size = match numbers.below(4) {
            0 => 1 + numbers.below(40),
            1 | 2 => 1 + numbers.below(700),
            _ => 1 + numbers.below(5_000),
        };
        let byte = u8::try_from(step % 251).unwrap();
        match numbers.below(3) {
            0 if !blocks.is_empty() => {
                let gone = blocks.swap_remove(numbers.below(blocks.len()));
                check(&gone);
                // SAFETY: it is out, with this layout.
                unsafe { memory.dealloc(gone.0, gone.1) };
            }
            1 if !blocks.is_empty() => {
                let at = numbers.below(blocks.len());
                let (block, old, filled) = blocks[at];
                // SAFETY: it is out, with this layout.
                let moved = unsafe { memory.realloc(block, old, size) };
                check(&(moved, layout(old.size().min(size), old.align()), filled));
                // SAFETY: it has that many bytes.
                unsafe { moved.write_bytes(byte, size) };
                blocks[at] = (moved, layout(size, old.align()), byte);
            }
            _ => {
                let layout = layout(size, [1, 2, 4, 8, 16, 64][numbers.below(6)]);
                // SAFETY: its size is not zero.
                let block = unsafe { memory.alloc(layout) };
                assert_eq!(block.addr() % layout.align(), 0, "{layout:?}");
                // SAFETY: it has that many bytes.
                unsafe { block.write_bytes(byte, size) };
                blocks.push((block, layout, byte));
            }
        }
        if step % 97 == 0 {
            blocks.iter().for_each(check);
        }
    }
    for (block, layout, _) in blocks {
        // SAFETY: each is out, once.
        unsafe { memory.dealloc(block, layout) };
    }
}

/// A block that is free is the next one of its class, so memory does not grow by use alone.
#[test]
fn free_blocks_are_used_again() {
    let memory = SizeClasses::new(System);
    let of = layout(100, 8);
    // SAFETY: the size is not zero; each block is freed once.
    unsafe {
        let (one, two) = (memory.alloc(of), memory.alloc(of));
        assert_ne!(one, two);
        memory.dealloc(one, of);
        memory.dealloc(two, of);
        assert_eq!([memory.alloc(of), memory.alloc(layout(112, 16))], [two, one]);
    }
}

/// Where there is no memory left, there is none, and a block that cannot grow stays as it is.
#[test]
fn no_memory_is_said_and_nothing_is_lost() {
    /// Gives so many blocks.
    struct Few(std::cell::Cell<usize>);
    // SAFETY: what it gives is the system's.
    unsafe impl GlobalAlloc for Few {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let Some(left) = self.0.get().checked_sub(1) else { return ptr::null_mut() };
            self.0.set(left);
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }
    let memory = SizeClasses::new(Few(0.into()));
    // SAFETY: the sizes are not zero.
    let got = [1, 300, 5_000].map(|size| unsafe { memory.alloc(layout(size, 1)) });
    assert_eq!(got, [ptr::null_mut(); 3]);

    let memory = SizeClasses::new(Few(1.into()));
    let of = layout(LARGEST, 8);
    // SAFETY: the size is not zero; the block is filled before it is read, and freed once.
    unsafe {
        let block = memory.alloc(of);
        block.write_bytes(7, LARGEST);
        assert_eq!(memory.realloc(block, of, LARGEST + 1), ptr::null_mut());
        assert!(std::slice::from_raw_parts(block, LARGEST).iter().all(|byte| *byte == 7));
        memory.dealloc(block, of);
        assert_eq!(memory.alloc(of), block, "it was in no list before");
    }
}

/// No block reaches beyond the slab that it is from.
#[test]
fn blocks_stay_within_their_slab() {
    /// Keeps where its blocks begin and end.
    struct Watched(UnsafeCell<Vec<(usize, usize)>>);
    // SAFETY: what it gives is the system's.
    unsafe impl GlobalAlloc for Watched {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            let block = unsafe { System.alloc(layout) };
            // SAFETY: one thread, and nothing else holds it.
            unsafe { (*self.0.get()).push((block.addr(), block.addr() + layout.size())) };
            block
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }
    let memory = SizeClasses::new(Watched(UnsafeCell::default()));
    let mut numbers = Numbers(3);
    for step in 0..if cfg!(miri) { 100 } else { 5_000 } {
        // Each size in turn, so that every remainder of a slab is met.
        let size =
            if step % 2 == 0 { LARGEST - step / 2 % LARGEST } else { 1 + numbers.below(LARGEST) };
        // SAFETY: its size is not zero.
        let block = unsafe { memory.alloc(layout(size, 1)) };
        let (_, whole) = class(layout(size, 1)).unwrap();
        let (begin, end) = (block.addr(), block.addr() + whole);
        // SAFETY: one thread, and no allocation while it is held.
        let slabs = unsafe { &*memory.backing.0.get() };
        assert!(slabs.iter().any(|(from, to)| *from <= begin && end <= *to), "{size}: {begin:#x}");
    }
}

#[test]
fn memory_compares_as_slices_do() {
    let mut numbers = Numbers(7);
    for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
        let length = numbers.below(40);
        let a: Vec<u8> = (0..length).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        let mut b = a.clone();
        // Two that differ: the first decides, wherever the other is.
        for _ in 0..if length > 0 { numbers.below(3) } else { 0 } {
            b[numbers.below(length)] = u8::try_from(numbers.below(256)).unwrap();
        }
        // SAFETY: both have that many bytes.
        let order = unsafe { compare(a.as_ptr(), b.as_ptr(), length) };
        assert_eq!(order.cmp(&0), a.cmp(&b), "{a:?} {b:?}");
    }
}
