//! Buffers for the bytes on their way through, one pair a thread, so that a connection at rest owns none.
//! Nothing stays in them between two calls.

use std::cell::RefCell;

/// Size of each buffer in bytes: one read or one gathered write at most.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's read buffer, [`SIZE`] bytes with arbitrary contents.
pub(crate) fn with_read<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    READ.with_borrow_mut(|buffer| {
        buffer.resize(SIZE, 0);
        work(buffer)
    })
}

/// Lends the thread's write buffer, empty and with room for [`SIZE`] bytes.
pub(crate) fn with_write<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    WRITE.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.reserve(SIZE);
        work(buffer)
    })
}
