//! DER (X.690), as far as certificates need it: values one behind the other, each a tag and a content.
//!
//! Lengths are definite, tags have one byte; all else is no DER, or of nothing that is read here. All of it may be hostile.

/// Tags of what is read here.
pub(super) mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const OCTET_STRING: u8 = 0x04;
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
}

/// What is still to be read.
#[derive(Clone, Copy)]
pub(super) struct Values<'a>(&'a [u8]);

/// One value.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Values<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Values<'a> {
        Values(bytes)
    }

    /// The next one, which must be of this kind.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Value<'a>> {
        let mut ahead = *self;
        let value = ahead.next().filter(|value| value.tag == tag)?;
        *self = ahead;
        Some(value)
    }

    /// What is in the next one, which must be of this kind.
    pub(super) fn within(&mut self, tag: u8) -> Option<Values<'a>> {
        self.expect(tag).map(|value| Values(value.content))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let all = self.0;
        let (&tag, rest) = all.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Value {
            tag,
            content,
            whole: all.get(..all.len() - rest.len())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_one_behind_the_other_and_what_is_cut_is_none() {
        let bytes = [
            0x30, 0x06, 0x02, 0x01, 0x05, 0x01, 0x01, 0xff, 0x04, 0x81, 0x01, 0x07,
        ];
        let mut values = Values::of(&bytes);
        let mut inner = values.within(tag::SEQUENCE).into_iter().flatten();
        let five = inner.next();
        assert_eq!(
            five.map(|five| (five.tag, five.content)),
            Some((tag::INTEGER, &[5][..]))
        );
        assert_eq!(
            inner.next().map(|truth| truth.whole),
            Some(&[1, 1, 0xff][..])
        );
        assert!(inner.next().is_none());
        assert!(values.expect(tag::INTEGER).is_none());
        let octets = values.expect(tag::OCTET_STRING);
        assert_eq!(octets.map(|octets| octets.content), Some(&[7][..]));
        for odd in [
            &[][..],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert!(Values::of(odd).next().is_none(), "{odd:?}");
        }
    }
}
