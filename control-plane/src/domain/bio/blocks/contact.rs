//! How somebody is reached.

use super::payloads;
use crate::domain::bio::value::{
    Email as Address, Handle, Icon, Latitude, Line, Longitude, Phone as Number, Text, Web,
};
use crate::domain::field::FieldError;

payloads! {
    /// `email`: writes an e-mail.
    Email {
        need { email: Address }
        may { title: Line, #[doc = "Of the e-mail."] subject: Line, icon: Icon }
    }
    /// `phone`: calls.
    Phone {
        need { phone: Number }
        may { title: Line, icon: Icon }
    }
    /// `sms`: writes a text message.
    Sms {
        need { phone: Number }
        may { title: Line, #[doc = "Its words."] message: Line, icon: Icon }
    }
    /// `whatsapp`: opens a chat.
    Whatsapp {
        need { #[doc = "With its country code."] phone: Number }
        may { title: Line, #[doc = "Its words."] message: Line, icon: Icon }
    }
    /// `telegram`: opens a chat.
    Telegram {
        need { username: Handle }
        may { title: Line, icon: Icon }
    }
    /// `messenger`: opens a chat.
    Messenger {
        need { username: Handle }
        may { title: Line, icon: Icon }
    }
    /// `vcard`: a card for the address book.
    Vcard {
        need { name: Line }
        may { #[doc = "Text of the button."] title: Line, company: Line, job: Line, phone: Number, email: Address, url: Web, address: Line, note: Line, icon: Icon }
    }
    /// `map`: leads to a place on a map.
    Map {
        need { address: Line }
        may { title: Line, latitude: Latitude, longitude: Longitude, icon: Icon }
    }
    /// `address`: where somebody is.
    Place {
        need { address: Text }
        may { title: Line, phone: Number, email: Address }
    }
}

/// Rules of a map.
pub(in crate::domain::bio) fn check_map(map: &Map) -> Result<(), FieldError> {
    let missing = match (map.latitude, map.longitude) {
        (Some(_), None) => "longitude",
        (None, Some(_)) => "latitude",
        _ => return Ok(()),
    };
    Err(FieldError::new(missing, "is required beside the other"))
}
