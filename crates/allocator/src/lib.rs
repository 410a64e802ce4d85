//! The one thing that safe Rust can't ask of the allocator: to give back what is free. glibc keeps it for later, all of
//! it but what lies at the end of its heaps; a server that was flooded once would stay as large for good. Other
//! allocators were measured: those that give memory back by themselves cost a tenth of the processor for each message.

/// Gives free memory back to the system. Takes some milliseconds for each hundred megabytes, during which others who
/// allocate may wait: not for a thread that must not, and not all the time. Does nothing where the allocator is not
/// glibc's.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "there is no safe way to call it")]
    // SAFETY: it takes no pointer, may be called at any time from any thread, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Pages in memory.
    fn resident() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number")
    }

    #[test]
    fn what_is_free_between_what_is_in_use_is_given_back() {
        let mut blocks: Vec<Vec<u8>> = (0..400_000).map(|_| vec![1; 250]).collect();
        let full = resident();
        // One in a thousand stays, the last one too.
        let kept: Vec<_> = blocks.iter_mut().rev().step_by(1_000).map(std::mem::take).collect();
        drop(blocks);
        give_back();
        let left = resident();
        assert!(left < full / 2, "{full} pages, then {left}");
        assert_eq!(kept.len(), 400);
    }
}
