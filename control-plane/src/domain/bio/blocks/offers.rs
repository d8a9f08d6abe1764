//! What is sold, given and asked for.

use super::payloads;
use crate::domain::bio::value::{Icon, Line, Moment, Picture, Text, Web};

payloads! {
    /// `product`: a thing to buy.
    Product {
        need { url: Web, title: Line }
        may { #[doc = "In words, e.g. `€ 19.90`."] price: Line, description: Text, image: Picture, #[doc = "Text of its button."] button: Line }
    }
    /// `product-list`: things to buy.
    ProductList {
        list { products: ProductItem }
        may { title: Line }
    }
    /// One of them.
    ProductItem {
        need { url: Web, title: Line }
        may { #[doc = "In words, e.g. `€ 19.90`."] price: Line, description: Line, image: Picture }
    }
    /// `coupon`: a code that saves money.
    Coupon {
        need { code: Line }
        may { title: Line, description: Line, #[doc = "Where it is used."] url: Web, #[doc = "Until when."] expires: Moment }
    }
    /// `payment`: a button that leads to a payment.
    Payment {
        need { url: Web, title: Line }
        may { #[doc = "In words, e.g. `€ 19.90`."] amount: Line, description: Line, icon: Icon }
    }
    /// `donation`: a button that leads to a donation.
    Donation {
        need { url: Web }
        may { title: Line, #[doc = "In words."] amount: Line, description: Line, icon: Icon }
    }
}
