//! Lines, images and points as they are drawn at the first angle.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write;

use super::super::html::escape;
use super::super::plot;
use super::Arm;
use super::answers::Sample;
use crate::compare::results::TurnedSample;
use crate::data::spatial::centre;

/// Width and height of the drawing of a line, and its margin above and below.
const LINE: (f64, f64, f64) = (240.0, 44.0, 6.0);
/// Half of the sides of the drawing of points, and the distance from its middle of the outermost true position.
pub(super) const HALF: (f64, f64) = (500.0, 420.0);
/// The longest true vector, in distances from the middle of the outermost point.
const LONGEST: f64 = 0.6;

/// A line once around, the marker at its beginning, and a level across where there is one.
pub(super) fn line(
    page: &mut String,
    heights: &[Option<f64>],
    level: Option<f64>,
    style: usize,
    named: &str,
) -> std::fmt::Result {
    let (width, height, margin) = LINE;
    write!(
        page,
        "<svg class=\"around\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"><path class=\"frame\" d=\"",
        escape(named)
    )?;
    for quarter in 0..=4 {
        write!(page, "M{} {margin}V{}", f64::from(quarter) * width / 4.0, height - margin)?;
    }
    write!(page, "M0 {margin}H{width}M0 {}H{width}\"/>", height - margin)?;
    if let Some(level) = level {
        write!(page, "<path class=\"level\" d=\"M0 {level}H{width}\"/>")?;
    }
    page.push_str("<path d=\"");
    let mut pen = 'M';
    // The first angle again at the end: the circle closes.
    for (step, y) in heights.iter().chain(heights.first()).enumerate() {
        match y {
            Some(y) => {
                write!(page, "{pen}{} {y}", width * step as f64 / heights.len() as f64)?;
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    let (y, hidden) = match heights.first() {
        Some(Some(y)) => (*y, ""),
        _ => (0.0, " visibility=\"hidden\""),
    };
    write!(
        page,
        "\" fill=\"none\" stroke=\"var(--arm-{style})\"/><g class=\"now\"{hidden}><path d=\"M0 {margin}V{}\"/><circle cy=\"{y}\" r=\"4.5\" \
         fill=\"var(--arm-{style})\"/></g></svg>",
        height - margin
    )
}

/// From above, in tenths of a unit, for a number from 0 to 1.
pub(super) fn height(value: f64) -> f64 {
    let (_, height, margin) = LINE;
    (10.0 * (height - margin - value.clamp(0.0, 1.0) * (height - 2.0 * margin))).round() / 10.0
}

/// An image, levels `[channels, height, width]`, as a drawing: runs of pixels, one path for every grey of sixteen, or for every colour of sixteen levels of red, green and blue.
pub(super) fn picture(page: &mut String, [height, width]: [usize; 2], levels: &[u8], title: &str) -> std::fmt::Result {
    write!(
        page,
        "<svg class=\"still\" viewBox=\"0 0 {width} {height}\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"{}\">\
         <path d=\"M0 0H{width}V{height}H0z\"/>",
        escape(title)
    )?;
    let size = height * width;
    // Of a single channel, red, green and blue are one.
    let channels = (levels.len() / size.max(1)).max(1);
    let colour = |at| [0, 1, 2].map(|channel| levels.get(channel % channels * size + at).map_or(0, |level| level / 16));
    let mut paths: BTreeMap<[u8; 3], String> = BTreeMap::new();
    for row in 0..height {
        let colours: Vec<[u8; 3]> = (row * width..(row + 1) * width).map(colour).collect();
        let mut column = 0;
        for run in colours.chunk_by(|a, b| a == b) {
            // The ground is black.
            if run[0] != [0; 3] {
                write!(paths.entry(run[0]).or_default(), "M{column} {row}h{0}v1h-{0}z", run.len())?;
            }
            column += run.len();
        }
    }
    for (colour, path) in paths {
        let [red, green, blue] = colour.map(|level| level * 17);
        write!(page, "<path fill=\"#{red:02x}{green:02x}{blue:02x}\" d=\"{path}\"/>")?;
    }
    page.push_str("</svg>");
    Ok(())
}

/// Points seen along the axis: where they are and what is true of them, which turns as one, and what the arms say of them.
pub(super) fn system(
    page: &mut String,
    sample: &TurnedSample,
    data: &Sample,
    arms: &[Arm],
    title: &str,
) -> std::fmt::Result {
    let Some(view) = View::of(sample) else { return Ok(()) };
    let (half, _) = HALF;
    write!(
        page,
        "<svg class=\"system\" viewBox=\"-{half} -{half} {} {}\" role=\"img\" aria-label=\"{}, seen from above\"><g class=\"truth\">",
        2.0 * half,
        2.0 * half,
        escape(title)
    )?;
    let ends = view.ends(sample);
    for (place, start) in positions(sample).iter().enumerate() {
        let [x, y] = view.at(start);
        let end = ends.get(place).map(|end| view.at(end));
        if let Some([u, v]) = end {
            write!(page, "<path d=\"M{x:.0} {y:.0}L{u:.0} {v:.0}\"/>")?;
        }
        write!(page, "<circle class=\"start\" cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"11\"/>")?;
        if let Some([u, v]) = end {
            write!(page, "<circle cx=\"{u:.0}\" cy=\"{v:.0}\" r=\"26\"/>")?;
        }
    }
    page.push_str("</g>");
    for (place, (Arm { style, .. }, answers)) in arms.iter().zip(&data.arms).enumerate() {
        let Some(points) = answers.as_ref().and_then(|answers| answers.points.first()) else { continue };
        let outline: Vec<String> = plot::outline(*style, 15.0).iter().map(|(x, y)| format!("{x},{y}")).collect();
        write!(page, "<g class=\"said\" data-arm=\"{place}\" fill=\"var(--arm-{style})\">")?;
        if let Some(roots) = data.roots.first() {
            write!(page, "<path stroke=\"var(--arm-{style})\" d=\"{}\"/>", shafts(roots, points))?;
        }
        for point in points.chunks(2) {
            let (at, hidden) = match point {
                [Some(x), Some(y)] => ([*x, *y], ""),
                _ => ([0, 0], " visibility=\"hidden\""),
            };
            write!(
                page,
                "<polygon points=\"{}\" transform=\"translate({} {})\"{hidden}/>",
                outline.join(" "),
                at[0],
                at[1]
            )?;
        }
        page.push_str("</g>");
    }
    page.push_str("</svg>");
    Ok(())
}

/// Lines from the points to the tips of their vectors, where these are seen.
fn shafts(roots: &[i32], tips: &[Option<i32>]) -> String {
    let one = |(root, tip): (&[i32], &[Option<i32>])| match (root, tip) {
        ([x, y], [Some(u), Some(v)]) => format!("M{x} {y}L{u} {v}"),
        _ => String::new(),
    };
    roots.chunks(2).zip(tips.chunks(2)).map(one).collect()
}

/// How points are drawn: about the centre they turn about, so that the outermost comes to a constant distance.
pub(super) struct View {
    centre: [f64; 3],
    scale: f64,
    /// How long a vector of length 1 is.
    stretch: f64,
}

impl View {
    pub fn of(sample: &TurnedSample) -> Option<Self> {
        let starts = positions(sample);
        if starts.is_empty() {
            return None;
        }
        let across = |[x, y, _]: &[f64; 3]| x.hypot(*y);
        let centre = centre(starts);
        let outermost = |points: &[[f64; 3]]| {
            points.iter().map(|x| across(&[x[0] - centre[0], x[1] - centre[1], 0.0])).fold(0.0, f64::max)
        };
        let longest = match sample {
            TurnedSample::Vectors { vectors, .. } => vectors.iter().map(across).fold(0.0, f64::max),
            _ => 0.0,
        };
        let radius = outermost(starts);
        let stretch = if longest > 0.0 && radius > 0.0 { LONGEST * radius / longest } else { 1.0 };
        let view = Self { centre, scale: 1.0, stretch };
        let farthest = radius.max(outermost(&view.ends(sample)));
        Some(Self { scale: if farthest > 0.0 { HALF.1 / farthest } else { 1.0 }, ..view })
    }

    /// Where the points end, or their vectors; nothing where neither is asked for.
    fn ends(&self, sample: &TurnedSample) -> Vec<[f64; 3]> {
        match sample {
            TurnedSample::Points { end, .. } => end.clone(),
            TurnedSample::Vectors { positions, vectors, .. } => {
                positions.iter().zip(vectors).map(|(x, v)| self.tip(x, v)).collect()
            }
            TurnedSample::Image { .. } | TurnedSample::Number { .. } => Vec::new(),
        }
    }

    /// The end of a vector that is drawn from `x`.
    pub fn tip(&self, x: &[f64; 3], vector: &[f64; 3]) -> [f64; 3] {
        std::array::from_fn(|k| x[k] + self.stretch * vector[k])
    }

    /// A point turned about the centre, counter-clockwise.
    pub fn turned(&self, x: &[f64; 3], degrees: f64) -> [f64; 3] {
        turned(*x, self.centre, degrees)
    }

    /// To the right and downwards.
    pub fn at(&self, x: &[f64; 3]) -> [f64; 2] {
        [self.scale * (x[0] - self.centre[0]), -self.scale * (x[1] - self.centre[1])]
    }
}

/// Where the points of a sample begin or are; nothing of an image.
pub(super) fn positions(sample: &TurnedSample) -> &[[f64; 3]] {
    match sample {
        TurnedSample::Image { .. } => &[],
        TurnedSample::Points { start, .. } => start,
        TurnedSample::Number { positions, .. } | TurnedSample::Vectors { positions, .. } => positions,
    }
}

/// A point turned about the z axis through `centre`, counter-clockwise.
pub(super) fn turned(x: [f64; 3], centre: [f64; 3], degrees: f64) -> [f64; 3] {
    let (sin, cos) = (TAU * degrees / 360.0).sin_cos();
    let (u, v) = (x[0] - centre[0], x[1] - centre[1]);
    [centre[0] + cos * u - sin * v, centre[1] + sin * u + cos * v, x[2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_still_image_has_runs_of_grey() {
        let mut page = String::new();
        picture(&mut page, [2, 3], &[0, 16, 255, 255, 250, 0], "x").unwrap();
        assert!(page.contains("<path fill=\"#111111\" d=\"M1 0h1v1h-1z\"/>"), "{page}");
        assert!(page.contains("<path fill=\"#ffffff\" d=\"M2 0h1v1h-1zM0 1h2v1h-2z\"/>"), "{page}");
    }

    #[test]
    fn the_still_image_has_runs_of_colour() {
        let mut page = String::new();
        let levels = [255, 255, 0, 0, 0, 0, 0, 0, 255, 17, 0, 0, 0, 0, 32, 0, 255, 0];
        picture(&mut page, [2, 3], &levels, "x").unwrap();
        let (_, paths) = page.split_once("<path fill").unwrap();
        assert_eq!(
            format!("<path fill{paths}"),
            "<path fill=\"#0000ff\" d=\"M1 1h1v1h-1z\"/><path fill=\"#001100\" d=\"M0 1h1v1h-1z\"/>\
             <path fill=\"#00ff22\" d=\"M2 0h1v1h-1z\"/><path fill=\"#ff0000\" d=\"M0 0h2v1h-2z\"/></svg>"
        );
    }

    #[test]
    fn vectors_are_drawn_to_one_length_and_end_within_the_frame() {
        let sample = TurnedSample::Vectors {
            place: 0,
            positions: vec![[0.0; 3], [4.0, 0.0, 0.0]],
            vectors: vec![[0.0, 0.0, 9.0], [0.03, 0.04, 0.0]],
        };
        let view = View::of(&sample).unwrap();
        // The outermost point is 2 from the centre, so the vector of length 0.05 becomes 1.2 long; upwards is not seen.
        let tip = view.tip(&[4.0, 0.0, 0.0], &[0.03, 0.04, 0.0]);
        assert!((tip[0] - 4.72).abs() < 1e-12 && (tip[1] - 0.96).abs() < 1e-12, "{tip:?}");
        let [x, y] = view.at(&tip);
        assert!((x.hypot(y) - HALF.1).abs() < 1e-9, "{x} {y}");
        assert_eq!(shafts(&[0, 1, 2, 3], &[Some(5), Some(6), None, Some(7)]), "M0 1L5 6");
    }
}
