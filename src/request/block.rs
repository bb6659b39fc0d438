//! Header maps in the form in which the host hands them over, and takes them.
//!
//! The form is that of the proxy-wasm ABI, as Envoy writes it: a count, then two lengths for each pair, all as 32
//! bits with the lowest byte first, then names and values, each with a zero byte behind it. Nothing here trusts a
//! block: a length that lies must not lead out of it, panic, or reserve memory beyond its own size.

use super::headers::HeaderView;

/// The bytes are no header map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The bytes of a count or a length.
const NUMBER: usize = 4;

/// The pairs of a block, in order; none where it is empty.
///
/// # Errors
///
/// `Malformed` where the block does not add up exactly: too short, without the zero byte behind each text, or with
/// bytes that belong to no pair.
pub fn read(block: &[u8]) -> Result<HeaderView<'_>, Malformed> {
    if block.is_empty() {
        return Ok(HeaderView::default());
    }
    let (count, rest) = block.split_first_chunk().ok_or(Malformed)?;
    let size = number(count)?.checked_mul(2 * NUMBER).ok_or(Malformed)?;
    let (lengths, mut texts) = rest.split_at_checked(size).ok_or(Malformed)?;
    let mut text = |length: &[u8; NUMBER]| -> Result<&[u8], Malformed> {
        let (text, rest) = texts.split_at_checked(number(length)?).ok_or(Malformed)?;
        let [0, rest @ ..] = rest else { return Err(Malformed) };
        texts = rest;
        Ok(text)
    };
    let (lengths, _) = lengths.as_chunks::<NUMBER>();
    // Each pair has its lengths, so the count is bounded by the block's own size here.
    let mut pairs = Vec::with_capacity(lengths.len() / 2);
    for [name, value] in lengths.as_chunks::<2>().0 {
        pairs.push((text(name)?, text(value)?));
    }
    if texts.is_empty() { Ok(HeaderView::new(pairs)) } else { Err(Malformed) }
}

/// The block of these pairs; the SDK keeps its own to itself.
pub fn write<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        block.extend_from_slice(&number(name.as_ref().len()));
        block.extend_from_slice(&number(value.as_ref().len()));
    }
    for (name, value) in pairs {
        block.extend_from_slice(name.as_ref());
        block.push(0);
        block.extend_from_slice(value.as_ref());
        block.push(0);
    }
    block
}

fn number(bytes: &[u8; NUMBER]) -> Result<usize, Malformed> {
    usize::try_from(u32::from_le_bytes(*bytes)).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy gives for two fields, byte by byte.
    const BLOCK: &[u8] = b"\x02\0\0\0\x01\0\0\0\x03\0\0\0\x02\0\0\0\0\0\0\0a\0b\0c\0xy\0\0";

    #[test]
    fn pairs_come_in_order_with_any_bytes() {
        let pairs: [(&[u8], &[u8]); 2] = [(b"a", b"b\0c"), (b"xy", b"")];
        assert_eq!(read(BLOCK), Ok(HeaderView::new(pairs.to_vec())));
        assert_eq!(write(&pairs), BLOCK);
    }

    #[test]
    fn no_pairs_are_no_block_or_a_count_of_zero() {
        assert_eq!(read(b""), Ok(HeaderView::default()));
        assert_eq!(read(b"\0\0\0\0"), Ok(HeaderView::default()));
        assert_eq!(write::<&str, &str>(&[]), b"\0\0\0\0");
    }

    #[test]
    fn block_that_is_cut_off_or_goes_on_is_malformed() {
        for end in 1..BLOCK.len() {
            assert_eq!(read(&BLOCK[..end]), Err(Malformed), "{end}");
        }
        assert_eq!(read(&[BLOCK, b"\0"].concat()), Err(Malformed));
    }

    #[test]
    fn text_without_its_zero_byte_is_malformed() {
        for at in [21, 25, 28, 29] {
            let mut block = BLOCK.to_vec();
            assert_eq!(block[at], 0);
            block[at] = b'-';
            assert_eq!(read(&block), Err(Malformed), "{at}");
        }
    }

    /// A count or a length of 2³² - 1 reserves nothing and reads nothing.
    #[test]
    fn numbers_that_lie_are_malformed() {
        for at in [0, 4, 8, 12, 16] {
            let mut block = BLOCK.to_vec();
            block[at..at + NUMBER].fill(0xff);
            assert_eq!(read(&block), Err(Malformed), "{at}");
        }
    }
}
