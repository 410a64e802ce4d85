//! The mask of client frames. Unmasking is the same operation as masking.

/// Applies `mask` to `payload` in place, from the mask's first byte.
pub(super) fn apply(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    // Eight bytes at a time is what the compiler turns into vector instructions.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_wide_way_is_the_plain_way() {
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).map(|at| [1, 20, 90, 200][at % 4]).collect();
            let mut payload = vec![0; length];
            super::apply(&mut payload, [1, 20, 90, 200]);
            assert_eq!(payload, plain);
        }
    }
}
