//! Numbers and texts of the encoding. Reading is total.

use super::EntryError;

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
pub(super) fn get_varint(bytes: &[u8]) -> Result<(u64, &[u8]), EntryError> {
    // One byte is the common case (lengths, small ids).
    let (&first, rest) = bytes.split_first().ok_or(EntryError::Short)?;
    if first < 0x80 {
        return Ok((u64::from(first), rest));
    }
    let mut value = u64::from(first & 0x7f);
    let mut rest = rest;
    for shift in (7..64).step_by(7) {
        let (&byte, more) = rest.split_first().ok_or(EntryError::Short)?;
        rest = more;
        if shift == 63 && byte > 1 {
            return Err(EntryError::Limit);
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value, rest));
        }
    }
    Err(EntryError::Limit)
}

#[inline]
pub(super) fn get_bytes(bytes: &[u8], limit: usize) -> Result<(&[u8], &[u8]), EntryError> {
    let (length, rest) = get_varint(bytes)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|l| *l <= limit)
        .ok_or(EntryError::Limit)?;
    rest.split_at_checked(length).ok_or(EntryError::Short)
}

/// A front of bytes that is taken piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, EntryError> {
        let (&byte, rest) = self.0.split_first().ok_or(EntryError::Short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or(EntryError::Short)?;
        self.0 = rest;
        Ok(*front)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, EntryError> {
        let (value, rest) = get_varint(self.0)?;
        self.0 = rest;
        Ok(value)
    }

    /// A number up to `limit`.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, limit: u64) -> Result<T, EntryError> {
        let value = self.varint()?;
        if value > limit {
            return Err(EntryError::Limit);
        }
        T::try_from(value).map_err(|_| EntryError::Limit)
    }

    #[inline]
    pub(super) fn bytes(&mut self, limit: usize) -> Result<&'a [u8], EntryError> {
        let (bytes, rest) = get_bytes(self.0, limit)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], EntryError> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(EntryError::Short)?;
        self.0 = rest;
        Ok(front)
    }

    /// The part of `before` that has been taken since.
    pub(super) fn taken_from(self, before: Self) -> &'a [u8] {
        let length = before.0.len().saturating_sub(self.0.len());
        before.0.get(..length).unwrap_or_default()
    }

    pub(super) fn end(self) -> Result<(), EntryError> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(EntryError::Trailing(more)),
        }
    }
}
