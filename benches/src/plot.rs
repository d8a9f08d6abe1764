//! A plot as an SVG file: lines over a linear axis, their values on a logarithmic one.

use std::fmt::Write as _;

/// Size of the picture and of the margins around the axes, in pixels.
const SIZE: (f64, f64) = (760.0, 440.0);
const MARGIN: (f64, f64) = (70.0, 50.0);

/// Room for names at the right.
const NAMES: f64 = 150.0;

/// Colours that people with any sight can tell apart (Okabe and Ito), one for each line.
const COLOURS: [&str; 6] = [
    "#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
];

/// A named line.
pub(crate) struct Line {
    pub(crate) name: String,
    /// x and y; y above 0.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The picture. `x` and `y` are what the axes are called.
pub(crate) fn svg(title: &str, x: &str, y: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most_x = points().map(|p| p.0).fold(f64::MIN_POSITIVE, f64::max);
    let decade = |value: f64| value.max(f64::MIN_POSITIVE).log10();
    let least = points()
        .map(|p| decade(p.1))
        .fold(f64::MAX, f64::min)
        .floor();
    let most = points()
        .map(|p| decade(p.1))
        .fold(f64::MIN, f64::max)
        .ceil();
    let (least, most) = if least < most {
        (least, most)
    } else {
        (0.0, 1.0)
    };
    let (width, height) = (SIZE.0 - 2.0 * MARGIN.0 - NAMES, SIZE.1 - 2.0 * MARGIN.1);
    let at_x = |value: f64| MARGIN.0 + value / most_x * width;
    let at_y = |value: f64| MARGIN.1 + (most - decade(value)) / (most - least) * height;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{}\" y=\"24\" font-size=\"15\">{title}</text>\n",
        SIZE.0, SIZE.1, MARGIN.0
    );
    let bottom = MARGIN.1 + height;
    for power in least as i32..=most as i32 {
        let value = 10_f64.powi(power);
        let _ = writeln!(
            out,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            MARGIN.0,
            MARGIN.0 + width,
            MARGIN.0 - 6.0,
            at_y(value) + 4.0,
            y = at_y(value),
        );
    }
    for step in 0..=5 {
        let value = most_x * f64::from(step) / 5.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.0}</text>",
            at_x(value),
            bottom + 18.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x}</text><text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{y}</text>",
        MARGIN.0 + width / 2.0,
        bottom + 38.0,
        MARGIN.1 + height / 2.0
    );
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS
            .get(number % COLOURS.len())
            .copied()
            .unwrap_or("#000");
        let path = line
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)));
        let path = path.collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            MARGIN.0 + width + 12.0,
            MARGIN.1 + 16.0 * (number as f64 + 1.0),
            line.name
        );
    }
    out.push_str("</svg>\n");
    out
}
