//! What is read.

use super::payloads;
use crate::domain::bio::value::{Count, Line, Picture, Room, Stars, Stroke, Text, Web};

payloads! {
    /// `heading`: begins a part of the page.
    Heading {
        need { title: Line }
    }
    /// `text`: paragraphs.
    Paragraphs {
        need { text: Text }
        may { title: Line }
    }
    /// `list`: a list of lines.
    List {
        list { items: Line }
        may { title: Line }
        flags { #[doc = "Numbered."] ordered }
    }
    /// `quote`: somebody's words.
    Quote {
        need { text: Text }
        may { author: Line, #[doc = "Where it was said."] url: Web }
    }
    /// `testimonial`: what a customer says.
    Testimonial {
        need { text: Text, author: Line }
        may { #[doc = "What the author is."] role: Line, image: Picture, rating: Stars }
    }
    /// `rating`: stars.
    Rating {
        need { rating: Stars }
        may { title: Line, #[doc = "How many gave them."] count: Count, url: Web }
    }
    /// `faq`: questions that unfold.
    Faq {
        list { items: Question }
        may { title: Line }
    }
    /// One of them.
    Question {
        need { question: Line, answer: Text }
    }
    /// `divider`: a line.
    Divider {
        may { style: Stroke }
    }
    /// `spacer`: room.
    Spacer {
        may { height: Room }
    }
    /// `avatar`: a round picture of somebody.
    Avatar {
        need { image: Picture }
        may { title: Line, description: Line }
    }
}
