//! A reader of Protocol Buffers without a schema: numbers of fields, and their values. Pure.

/// The most fields of one message that are read. A roster of 5,000 people is 5,000 fields of one message.
const MOST_FIELDS: usize = 20_000;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A number of any width.
    Number(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
}

/// A message: its fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message<'a>(Vec<(u32, Value<'a>)>);

impl<'a> Message<'a> {
    /// Reads a message; `None` if the bytes are not a complete message.
    pub(crate) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
            let value = match key & 7 {
                0 => Value::Number(varint(&mut bytes)?),
                1 => Value::Number(u64::from_le_bytes(*take(&mut bytes)?)),
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).ok()?;
                    let (value, rest) = bytes.split_at_checked(length)?;
                    bytes = rest;
                    Value::Bytes(value)
                }
                5 => Value::Number(u32::from_le_bytes(*take(&mut bytes)?).into()),
                // Groups are deprecated and unsupported.
                _ => return None,
            };
            if fields.len() == MOST_FIELDS {
                return None;
            }
            fields.push((number, value));
        }
        Some(Self(fields))
    }

    /// The numbers of all fields, in order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(number, _)| *number)
    }

    /// The last number in this field: a later one replaces it.
    pub(crate) fn number(&self, field: u32) -> Option<u64> {
        self.0.iter().rev().find_map(|(number, value)| match value {
            Value::Number(value) if *number == field => Some(*value),
            _ => None,
        })
    }

    /// The last bytes in this field.
    pub(crate) fn bytes(&self, field: u32) -> Option<&'a [u8]> {
        self.all(field).last()
    }

    /// The text in this field.
    pub(crate) fn text(&self, field: u32) -> Option<&'a str> {
        str::from_utf8(self.bytes(field)?).ok()
    }

    /// The message in this field.
    pub(crate) fn message(&self, field: u32) -> Option<Message<'a>> {
        Self::read(self.bytes(field)?)
    }

    /// All messages at this path of nested fields. Other values are skipped.
    pub(crate) fn under(&self, path: &[u32]) -> Vec<Message<'a>> {
        let Some((first, rest)) = path.split_first() else { return vec![self.clone()] };
        self.all(*first).filter_map(Message::read).flat_map(|inner| inner.under(rest)).collect()
    }

    fn all(&self, field: u32) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(number, value)| match value {
            Value::Bytes(bytes) if *number == field => Some(*bytes),
            _ => None,
        })
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = *take(bytes)?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_width_are_read_and_the_last_of_a_number_counts() {
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x25, 2, 0, 0,
            0, 0x08, 0x07,
        ];
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.number(1), Some(7));
        assert_eq!(message.text(2), Some("hi"));
        assert_eq!((message.number(3), message.number(4)), (Some(1), Some(2)));
        assert_eq!((message.number(2), message.text(1), message.number(9)), (None, None, None));
    }

    #[test]
    fn messages_are_found_under_fields_that_repeat() {
        // 1 { 2 { 3: 5 } 2 { 3: 6 } } 1 { 2 { 3: 7 } }
        let bytes = [0x0A, 8, 0x12, 2, 0x18, 5, 0x12, 2, 0x18, 6, 0x0A, 4, 0x12, 2, 0x18, 7];
        let message = Message::read(&bytes).unwrap();
        let found = message.under(&[1, 2]);
        let numbers: Vec<_> = found.iter().map(|inner| inner.number(3)).collect();
        assert_eq!(numbers, [Some(5), Some(6), Some(7)]);
        assert!(message.under(&[1, 9]).is_empty());
    }

    #[test]
    fn bytes_that_are_not_a_complete_message_are_refused() {
        for bytes in [
            &[0x12, 0x05, b'h'][..],
            &[0x08],
            &[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x0B, 0x0C],
            &[0x00, 0x01],
            &[0x19, 1, 2, 3],
            &[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1],
        ] {
            assert_eq!(Message::read(bytes), None, "{bytes:?}");
        }
        let many = [0x08, 1].repeat(MOST_FIELDS + 1);
        assert_eq!(Message::read(&many), None);
    }
}
