//! Ids of this dialect: `link_` or `qr_` and our number in base 36, in its one form: lower case, no leading zero.

/// Most digits that an `i64` has.
const MAX_DIGITS: usize = 13;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A link.
    Link,
    /// A QR code.
    Qr,
}

impl What {
    const fn mark(self) -> &'static str {
        match self {
            Self::Link => "link_",
            Self::Qr => "qr_",
        }
    }

    /// The id of a number.
    pub(super) fn id(self, number: i64) -> String {
        let mut rest = number.unsigned_abs();
        let mut digits = Vec::with_capacity(MAX_DIGITS);
        loop {
            let digit = usize::try_from(rest % 36).unwrap_or(0);
            digits.extend(DIGITS.get(digit).map(|digit| char::from(*digit)));
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        let digits: String = digits.into_iter().rev().collect();
        format!("{}{digits}", self.mark())
    }

    /// The number of an id; `None`: it names nothing.
    pub(super) fn number(self, id: &str) -> Option<i64> {
        let digits = id.strip_prefix(self.mark())?;
        let is_legal = (1..=MAX_DIGITS).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| DIGITS.contains(&b));
        is_legal
            .then(|| i64::from_str_radix(digits, 36).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_id_and_every_id_one_number() {
        for number in [1, 9, 10, 35, 36, 1295, 1296, 623_714_775, i64::MAX] {
            let id = What::Link.id(number);
            assert_eq!(What::Link.number(&id), Some(number), "{id}");
            assert_eq!(What::Qr.number(&id), None);
            assert_eq!(What::Link.number(&id.to_uppercase()), None);
        }
        assert_eq!(What::Link.id(36), "link_10");
        assert_eq!(What::Qr.id(71), "qr_1z");
        for bad in [
            "",
            "link_",
            "link_01",
            "link_0",
            "10",
            "link_1-",
            "link_zzzzzzzzzzzzz",
            "link_é",
        ] {
            assert_eq!(What::Link.number(bad), None, "{bad}");
        }
    }
}
