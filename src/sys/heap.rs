//! The heap of the musl build: dlmalloc's, which begins in the zeroed data.
//!
//! What a start allocates has room there, beside what is in use anyway: it sets foot on fewer pages than in a mapping of
//! its own, and takes no system call. Whatever needs more gets mappings.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dlmalloc::Dlmalloc;
use nix::libc;

/// Room for what a start allocates with a hundred variables in the environment.
const FIRST_SIZE: usize = 16 * 1024;

/// What is mapped at least.
const MAPPING_SIZE: usize = 64 * 1024;

/// What dlmalloc asks for is a multiple of this. Small, so that its first wish fits `FIRST`.
const GRANULARITY: usize = 4 * 1024;

/// Where the heap begins.
#[repr(align(16))]
struct First(UnsafeCell<[u8; FIRST_SIZE]>);

// SAFETY: it is used by nobody but whom `take` gives it to.
unsafe impl Sync for First {}

static FIRST: First = First(UnsafeCell::new([0; FIRST_SIZE]));

impl First {
    /// Gives it away, once.
    fn take(&self) -> Option<*mut u8> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        (!IS_TAKEN.swap(true, Ordering::Relaxed)).then(|| self.0.get().cast())
    }
}

/// Where dlmalloc has its memory from.
struct Memory;

/// `EXTERN_BIT` of dlmalloc: a segment that is neither given back nor merged with others.
const EXTERN: u32 = 1;

// SAFETY: `alloc` gives memory that nobody else uses, at least as much as asked for, and all zeros.
unsafe impl dlmalloc::Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= FIRST_SIZE
            && let Some(first) = FIRST.take()
        {
            return (first, FIRST_SIZE, EXTERN);
        }
        let size = size.max(MAPPING_SIZE);
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let address = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED { (ptr::null_mut(), 0, 0) } else { (address.cast(), size, 0) }
    }

    /// Only for what dlmalloc in C maps one by one, which this one does not.
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, address: *mut u8, size: usize, kept: usize) -> bool {
        self.free(address.wrapping_add(kept), size - kept)
    }

    fn free(&self, address: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc gives back what it had from `alloc`, mapped and used no more.
        unsafe { libc::munmap(address.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        GRANULARITY
    }
}

/// The heap, as std's collections use it.
///
/// What an empty dlmalloc is made of is not all zeros. It is made at the first use, as data in the file would be a page
/// that is copied.
pub struct Heap(Mutex<Option<Dlmalloc<Memory>>>);

impl Heap {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it becomes a static")]
    pub const fn new() -> Heap {
        Heap(Mutex::new(None))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Dlmalloc<Memory>) -> T) -> T {
        let mut heap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *heap {
            Some(heap) => act(heap),
            none => act(begin(none)),
        }
    }
}

/// Kept apart: what an empty dlmalloc is made of would be on the stack of every allocation.
#[cold]
#[inline(never)]
fn begin(heap: &mut Option<Dlmalloc<Memory>>) -> &mut Dlmalloc<Memory> {
    let mut dlmalloc = Dlmalloc::new_with_allocator(Memory);
    dlmalloc.set_granularity(GRANULARITY);
    heap.insert(dlmalloc)
}

// SAFETY: dlmalloc is an allocator; the lock lets one at a time use it, and neither allocates.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment may be asked for.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller has it from here, with this layout.
        self.with(|heap| unsafe { heap.free(address, layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`.
        self.with(|heap| unsafe { heap.realloc(address, layout.size(), layout.align(), size) })
    }
}
