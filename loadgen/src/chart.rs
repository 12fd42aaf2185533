//! [`Chart`]: lines over a plane, as SVG.
//!
//! What must hold: everything that came from outside is escaped; a chart without points is still a
//! picture; colours keep their order, so that one run has one colour in all charts of a page.

use std::fmt::Write;

use crate::number::approximate;

/// The size of the picture without its legend, in pixels.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
/// What lies around the plane.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 44.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// The legend below: how high its rows are, and how many names stand in one.
const ROW: f64 = 18.0;
const NAMES_PER_ROW: usize = 2;
/// Told apart also by those who do not see all colours, on white and on black.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#a0522d",
];

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// What it is of.
    pub(crate) name: String,
    /// Whose it is: lines of one owner have one colour.
    pub(crate) owner: usize,
    /// Whether it is the second line of its owner.
    pub(crate) dashed: bool,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// One direction of the plane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// What it measures.
    pub(crate) name: String,
    /// Where the plane begins and ends.
    pub(crate) range: (f64, f64),
    /// Where there are marks, and what stands there.
    pub(crate) marks: Vec<(f64, String)>,
}

/// Lines over a plane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    /// What stands above.
    pub(crate) title: String,
    /// To the right.
    pub(crate) x: Axis,
    /// Upwards.
    pub(crate) y: Axis,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

impl Axis {
    /// From nothing to a little above `most`, with about five round marks.
    pub(crate) fn linear(name: &str, most: f64, show: impl Fn(f64) -> String) -> Axis {
        let most = if most > 0.0 { most } else { 1.0 };
        let power = 10_f64.powf((most / 5.0).log10().floor());
        let fitting = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = fitting
            .into_iter()
            .find(|step| most / step <= 6.0)
            .unwrap_or(power * 10.0);
        let count = (most / step).ceil();
        let mut marks = Vec::new();
        let mut at = 0.0;
        while at <= count {
            marks.push((at * step, show(at * step)));
            at += 1.0;
        }
        Axis {
            name: name.to_owned(),
            range: (0.0, count * step),
            marks,
        }
    }

    /// From the power of ten below `least` to the one above `most`, in logarithms.
    pub(crate) fn powers(name: &str, least: f64, most: f64, show: impl Fn(f64) -> String) -> Axis {
        let low = least.max(1.0).log10().floor();
        let high = most.max(least).max(1.0).log10().ceil().max(low + 1.0);
        let mut marks = Vec::new();
        let mut at = low;
        while at <= high {
            marks.push((at, show(10_f64.powf(at))));
            at += 1.0;
        }
        Axis {
            name: name.to_owned(),
            range: (low, high),
            marks,
        }
    }
}

impl Chart {
    /// The picture, an `<svg>` element.
    pub(crate) fn to_svg(&self) -> String {
        let rows = self.series.len().div_ceil(NAMES_PER_ROW);
        let height = HEIGHT + ROW * approximate(rows as u64);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        self.write(&mut out).expect("a String takes every byte");
        out.push_str("</svg>\n");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let title = escape(&self.title);
        writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{title}</text>"
        )?;
        self.write_grid(out)?;
        for (index, series) in self.series.iter().enumerate() {
            let colour = COLOURS[series.owner % COLOURS.len()];
            let dashes = if series.dashed {
                " stroke-dasharray=\"6 4\""
            } else {
                ""
            };
            let points: Vec<_> = series
                .points
                .iter()
                .map(|&(x, y)| self.place(x, y))
                .collect();
            let points = points.join(" ");
            writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} \
                 stroke-linejoin=\"round\" points=\"{points}\"/>"
            )?;
            let (row, column) = (index / NAMES_PER_ROW, index % NAMES_PER_ROW);
            let y = HEIGHT + ROW * approximate(row as u64);
            let part = (WIDTH - LEFT - RIGHT) / approximate(NAMES_PER_ROW as u64);
            let (x, name) = (
                LEFT + part * approximate(column as u64),
                escape(&series.name),
            );
            writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"4\"{dashes} \
                 points=\"{x},{} {},{}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
                y + 4.0,
                x + 20.0,
                y + 4.0,
                x + 26.0,
                y + 8.0
            )?;
        }
        Ok(())
    }

    fn write_grid(&self, out: &mut String) -> std::fmt::Result {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let (middle, below) = (f64::midpoint(LEFT, right), HEIGHT - 8.0);
        for (at, name) in &self.x.marks {
            let (x, name) = (self.right_of(*at), escape(name));
            writeln!(
                out,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                bottom + 16.0
            )?;
        }
        for (at, name) in &self.y.marks {
            let (y, name) = (self.above(*at), escape(name));
            writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 6.0,
                y + 4.0
            )?;
        }
        let (x, y) = (escape(&self.x.name), escape(&self.y.name));
        writeln!(
            out,
            "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#555\">{x}</text>\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\" \
             fill=\"#555\">{y}</text>",
            f64::midpoint(TOP, bottom)
        )
    }

    fn place(&self, x: f64, y: f64) -> String {
        format!("{:.1},{:.1}", self.right_of(x), self.above(y))
    }

    fn right_of(&self, x: f64) -> f64 {
        LEFT + share(x, self.x.range) * (WIDTH - LEFT - RIGHT)
    }

    fn above(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - share(y, self.y.range) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Where a value lies between the ends of a range, which it does not leave.
fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Text that may stand in HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let show = |value: f64| format!("{value}");
        Chart {
            title: "<a> & b".into(),
            x: Axis::linear("t", 10.0, show),
            y: Axis::powers("ns", 1_500.0, 2e6, show),
            series: vec![Series {
                owner: 0,
                dashed: false,
                name: "\"one\"".into(),
                points,
            }],
        }
    }

    #[test]
    fn marks_are_round_and_reach_over_everything() {
        let linear = Axis::linear("", 1_234.0, |value| format!("{value}"));
        let marks: Vec<_> = linear.marks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(marks, ["0", "500", "1000", "1500"]);
        let none = Axis::linear("", 0.0, |value| format!("{value}"));
        assert!(none.range.1 >= 1.0 && none.marks.len() > 1);
        let powers = Axis::powers("", 1_500.0, 2e6, |value| format!("{value}"));
        let marks: Vec<_> = powers.marks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(marks, ["1000", "10000", "100000", "1000000", "10000000"]);
    }

    #[test]
    fn points_lie_inside_and_text_is_escaped() {
        let svg = chart(vec![(0.0, 3.0), (99.0, 99.0), (-1.0, 0.0)]).to_svg();
        assert!(
            svg.contains("points=\"80.0,294.0 816.0,34.0 80.0,294.0\""),
            "{svg}"
        );
        assert!(
            svg.contains("&lt;a&gt; &amp; b") && svg.contains("&quot;one&quot;"),
            "{svg}"
        );
        assert!(chart(Vec::new()).to_svg().ends_with("</svg>\n"));
    }
}
