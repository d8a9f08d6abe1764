//! Pictures, which are served from here, and sound and film, which are led to.

use super::payloads;
use crate::domain::bio::value::{Icon, Line, Picture, Web};

payloads! {
    /// `image`: a picture.
    Image {
        need { url: Picture }
        may {
            #[doc = "Shown below it."] title: Line,
            #[doc = "Read to those who do not see it."] alt: Line,
            #[doc = "Where it leads."] link: Web,
        }
    }
    /// `gallery`: pictures side by side.
    Gallery {
        list { images: GalleryImage }
        may { title: Line }
    }
    /// `carousel`: pictures in a row that moves.
    Carousel {
        list { images: GalleryImage }
        may { title: Line }
    }
    /// One of them.
    GalleryImage {
        need { url: Picture }
        may {
            #[doc = "Shown below it."] title: Line,
            #[doc = "Read to those who do not see it."] alt: Line,
            #[doc = "Where it leads."] link: Web,
        }
    }
    /// `video`: a card that leads to a film.
    Video {
        need { url: Web }
        may { title: Line, description: Line, #[doc = "A still."] image: Picture, icon: Icon }
    }
    /// `audio`: a card that leads to a recording.
    Audio {
        need { url: Web }
        may { title: Line, description: Line, #[doc = "A cover."] image: Picture, icon: Icon }
    }
}
