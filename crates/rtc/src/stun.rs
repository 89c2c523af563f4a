//! STUN (RFC 8489): asks a server on the internet for the public address of a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER_BYTES: usize = 20;

/// A request's number, which its answer repeats.
pub(crate) type Transaction = [u8; 12];

/// The request.
pub(crate) fn request(transaction: &Transaction) -> Vec<u8> {
    let mut request = BINDING_REQUEST.to_be_bytes().to_vec();
    request.extend([0, 0]);
    request.extend(MAGIC);
    request.extend(transaction);
    request
}

/// The address in the answer to the request of this transaction; `None` for anything else.
pub(crate) fn answer(datagram: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let (header, mut attributes) = datagram.split_at_checked(HEADER_BYTES)?;
    if number(&header[..2]) != BINDING_SUCCESS
        || header[4..8] != MAGIC
        || header[8..] != *transaction
    {
        return None;
    }
    loop {
        let (head, rest) = attributes.split_at_checked(4)?;
        let (kind, length) = (number(&head[..2]), usize::from(number(&head[2..])));
        let value = rest.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS {
            return mapped(value, &header[4..]);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// The address and the port, each combined by XOR with bytes of the header.
fn mapped(value: &[u8], mask: &[u8]) -> Option<SocketAddr> {
    let (head, address) = value.split_at_checked(4)?;
    let port = number(&head[2..]) ^ number(&mask[..2]);
    let mut bytes = [0; 16];
    for (place, (byte, mask)) in bytes.iter_mut().zip(address.iter().zip(mask)) {
        *place = byte ^ mask;
    }
    let ip: IpAddr = match (head[1], address.len()) {
        (1, 4) => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        (2, 16) => Ipv6Addr::from(bytes).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn number(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |number, byte| number << 8 | u16::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769, 2.2 and 2.3: answers with an attribute before the address.
    const TRANSACTION: Transaction = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    const V4: &[u8] =
        b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    const V6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
        \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";

    #[test]
    fn the_answers_of_the_rfc_are_read() {
        let address = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
        assert_eq!(answer(V4, &TRANSACTION), address("192.0.2.1:32853"));
        let v6 = address("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
        assert_eq!(answer(V6, &TRANSACTION), v6);
    }

    #[test]
    fn other_datagrams_than_the_answer_give_none_without_a_panic() {
        assert_eq!(answer(V4, &[0; 12]), None);
        assert_eq!(answer(&request(&TRANSACTION), &TRANSACTION), None);
        for cut in 0..V4.len() {
            assert_eq!(answer(&V4[..cut], &TRANSACTION), None, "{cut}");
        }
    }

    #[test]
    fn a_hostile_stun_response_is_an_address_or_none() {
        xtask::hostile_inputs::feed_bytes(&[V4, V6], |datagram| {
            if answer(datagram, &TRANSACTION).is_some() {
                assert!(datagram.len() >= HEADER_BYTES + 12);
            }
        });
    }
}
