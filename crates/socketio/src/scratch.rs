//! Buffers for the bytes on their way through, a few for each thread, so that a connection at rest owns none.
//! Nothing stays in them between two calls.

use std::cell::RefCell;

/// Size of each buffer in bytes: one read or one gathered write at most.
pub(crate) const SIZE: usize = 64 * 1024;

thread_local! {
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static WRITE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static ENCODE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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

/// Lends the thread's buffer for what is being encoded, empty. What is kept of it is to be copied, so that it takes the
/// memory of its length and not what a vector that grew had room for.
pub(crate) fn with_encode<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    ENCODE.with(|buffer| match buffer.try_borrow_mut() {
        Ok(mut buffer) => {
            buffer.clear();
            let result = work(&mut buffer);
            if buffer.capacity() > SIZE {
                *buffer = Vec::new();
            }
            result
        }
        // A value that encodes another frame while it is encoded.
        Err(_) => work(&mut Vec::new()),
    })
}
