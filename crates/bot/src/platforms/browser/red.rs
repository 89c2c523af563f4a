//! Reads audio packets with redundant copies of earlier ones (RED, RFC 2198), as browsers deliver them if it was negotiated. Pure.

/// The header of a block that is not the last: a flag, its format (7 bits), its time offset (14 bits), its length (10 bits).
const HEADER: usize = 4;

/// The primary packet, which is the last block; `None` if this is not RED.
pub(crate) fn primary(payload: &[u8]) -> Option<&[u8]> {
    let (mut headers, mut copies) = (payload, 0);
    while headers.first()? & 0x80 != 0 {
        let (header, rest) = headers.split_at_checked(HEADER)?;
        copies += usize::from(u16::from_be_bytes([header[2] & 0x03, header[3]]));
        headers = rest;
    }
    headers.get(1 + copies..).filter(|packet| !packet.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_the_packet() {
        // As Chromium 156 delivers it: a copy of 3 bytes, then the packet.
        let one = [0xEF, 0x0F, 0x00, 3, 111, 1, 2, 3, 0x48, 7];
        assert_eq!(primary(&one), Some(&[0x48, 7][..]));
        assert_eq!(primary(&[111, 0x48]), Some(&[0x48][..]));
        let two = [0xEF, 0, 0, 1, 0xEF, 0, 0, 2, 0x6F, 9, 8, 8, 0x48];
        assert_eq!(primary(&two), Some(&[0x48][..]));
    }

    #[test]
    fn truncated_payloads_give_no_packet() {
        for payload in [
            &[][..],
            &[111],
            &[0xEF],
            &[0xEF, 0, 0, 3, 111, 1, 2],
            &[0xEF, 0, 0, 3, 111, 1, 2, 3],
            &[0xEF, 0, 0, 0],
        ] {
            assert_eq!(primary(payload), None, "{payload:?}");
        }
    }
}
