//! SVG: one rectangle, one path of horizontal runs, and perhaps a logo. Numbers, colours and base64 alone: there is no text
//! in it that anybody could have written, no script and no reference to elsewhere.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qrcodegen::QrCode;

use super::logo::Logo;
use super::{Layout, Plate, is_dark};
use crate::domain::qr::style::Style;

pub(super) fn draw(code: &QrCode, style: &Style, layout: &Layout, logo: Option<&Logo>) -> Vec<u8> {
    // Units are pixels of the size asked for, laid out as in a raster: drawn at that size no edge is blurred.
    let size = style.size;
    let (background, foreground) = (style.background.to_hex(), style.foreground.to_hex());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><rect width=\"{size}\" height=\"{size}\" fill=\"{background}\"/>\
         <path fill=\"{foreground}\" d=\""
    );
    for y in 0..layout.modules {
        let mut x = 0;
        while x < layout.modules {
            let begin = x;
            while x < layout.modules && is_dark(code, x, y) {
                x += 1;
            }
            if x > begin {
                let (left, top) = (layout.edge(begin), layout.edge(y));
                let (width, height) = (layout.edge(x) - left, layout.edge(y + 1) - top);
                _ = write!(svg, "M{left} {top}h{width}v{height}h-{width}z");
            }
            x += 1;
        }
    }
    svg.push_str("\"/>");
    if let Some(logo) = logo {
        let Plate { begin, side, room } = layout.plate();
        let (inner, inner_begin) = (side - 2 * room, begin + room);
        let png = STANDARD.encode(logo.to_png());
        _ = write!(
            svg,
            "<rect x=\"{begin}\" y=\"{begin}\" width=\"{side}\" height=\"{side}\" fill=\"{background}\"/>\
             <image x=\"{inner_begin}\" y=\"{inner_begin}\" width=\"{inner}\" height=\"{inner}\" \
             href=\"data:image/png;base64,{png}\"/>"
        );
    }
    svg.push_str("</svg>\n");
    svg.into_bytes()
}
