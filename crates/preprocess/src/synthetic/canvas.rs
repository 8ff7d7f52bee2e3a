//! A small rasteriser: shapes as signed distances, painted with smooth edges.

/// Red, green, blue, 0 to 1.
pub(super) type Color = [f32; 3];

/// A place on the face: x to the right, y downwards, the unit about half the face's height.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// A place.
pub(super) const fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

impl Point {
    fn turned(self, radians: f32) -> Self {
        let (sin, cos) = radians.sin_cos();
        at(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }

    /// The place `share` of the way to `other`.
    pub(super) fn toward(self, other: Self, share: f32) -> Self {
        at(self.x + (other.x - self.x) * share, self.y + (other.y - self.y) * share)
    }
}

/// Where a drawing's coordinates lie on the canvas.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The origin, in pixels.
    pub(super) origin: Point,
    /// Pixels a unit.
    pub(super) scale: f32,
    /// Turn of the drawing, clockwise.
    pub(super) roll: f32,
}

impl View {
    fn to_drawing(self, pixel: Point) -> Point {
        let moved = at(pixel.x - self.origin.x, pixel.y - self.origin.y).turned(-self.roll);
        at(moved.x / self.scale, moved.y / self.scale)
    }

    fn to_canvas(self, point: Point) -> Point {
        let turned = at(point.x * self.scale, point.y * self.scale).turned(self.roll);
        at(turned.x + self.origin.x, turned.y + self.origin.y)
    }
}

/// A region of the drawing: negative inside, positive outside, roughly in units of length.
pub(super) struct Shape<'a> {
    distance: Box<dyn Fn(Point) -> f32 + 'a>,
    center: Point,
    /// Nothing of the shape lies further from the centre than this.
    reach: f32,
    /// Width of the edge, besides the pixel's.
    softness: f32,
}

impl<'a> Shape<'a> {
    /// An ellipse whose corners fill out as `power` grows above 2, turned clockwise.
    pub(super) fn ellipse(center: Point, radii: Point, power: f32, turn: f32) -> Self {
        Self::egg(center, radii, radii.y, [power; 2], turn)
    }

    /// Two halves of ellipses: the upper of height `radii.y`, the lower of height `lower`.
    pub(super) fn egg(
        center: Point,
        radii: Point,
        lower: f32,
        powers: [f32; 2],
        turn: f32,
    ) -> Self {
        let distance = move |point: Point| {
            let local = at(point.x - center.x, point.y - center.y).turned(-turn);
            let (height, power) =
                if local.y < 0.0 { (radii.y, powers[0]) } else { (lower, powers[1]) };
            let (across, along) = ((local.x / radii.x).abs(), (local.y / height).abs());
            let norm = (across.powf(power) + along.powf(power)).powf(power.recip());
            (norm - 1.0) * radii.x.min(height)
        };
        // A filled corner sticks out of the circle around the ellipse, up to the box's corner.
        let reach = radii.x.hypot(radii.y.max(lower));
        Self { distance: Box::new(distance), center, reach, softness: 0.0 }
    }

    /// A line along `points`, `width` wide in the middle and narrowing to `ends` of that.
    pub(super) fn curve(points: [Point; 3], width: f32, ends: f32) -> Self {
        const PIECES: usize = 8;
        let [first, control, last] = points;
        let bend = move |step: usize| {
            let share = step as f32 / PIECES as f32;
            first.toward(control, share).toward(control.toward(last, share), share)
        };
        let path: [Point; PIECES + 1] = std::array::from_fn(bend);
        let distance = move |point: Point| {
            let mut nearest = f32::INFINITY;
            for (step, pair) in path.windows(2).enumerate() {
                let (along, away) = along_and_away(pair[0], pair[1], point);
                let share = (step as f32 + along) / PIECES as f32;
                let middle = 1.0 - (2.0 * share - 1.0).powi(2);
                nearest = nearest.min(away - 0.5 * width * (ends + (1.0 - ends) * middle));
            }
            nearest
        };
        let center = first.toward(last, 0.5);
        let reach = (first.x - center.x).hypot(first.y - center.y)
            + (control.x - center.x).hypot(control.y - center.y)
            + width;
        Self { distance: Box::new(distance), center, reach, softness: 0.0 }
    }

    /// The outline of this shape, `width` wide.
    pub(super) fn outline(self, width: f32) -> Self {
        let inner = self.distance;
        let distance = move |point| inner(point).abs() - 0.5 * width;
        Self { distance: Box::new(distance), reach: self.reach + width, ..self }
    }

    /// What lies in this shape and in the other.
    pub(super) fn inside(self, other: Shape<'a>) -> Self {
        let (one, two) = (self.distance, other.distance);
        Self { distance: Box::new(move |point| one(point).max(two(point))), ..self }
    }

    /// What lies in this shape but not in the other.
    pub(super) fn outside(self, other: Shape<'a>) -> Self {
        let (one, two) = (self.distance, other.distance);
        Self { distance: Box::new(move |point| one(point).max(-two(point))), ..self }
    }

    /// The same with an edge that fades over `width`.
    pub(super) fn soft(self, width: f32) -> Self {
        Self { softness: width, reach: self.reach + width, ..self }
    }
}

/// A square picture in the making.
pub(super) struct Canvas {
    pub(super) side_px: usize,
    pub(super) pixels: Vec<Color>,
}

impl Canvas {
    /// A canvas on which each pixel has the color of its place; places run from 0 to 1.
    pub(super) fn new(side_px: usize, color: impl Fn(Point) -> Color) -> Self {
        let place = |index: usize| (index as f32 + 0.5) / side_px as f32;
        let pixels = (0..side_px * side_px)
            .map(|index| color(at(place(index % side_px), place(index / side_px))))
            .collect();
        Self { side_px, pixels }
    }

    /// Paints a shape, each place of the drawing in its color.
    pub(super) fn paint(
        &mut self,
        view: View,
        shape: &Shape<'_>,
        opacity: f32,
        color: impl Fn(Point) -> Color,
    ) {
        let center = view.to_canvas(shape.center);
        let reach = (shape.reach + shape.softness) * view.scale + 1.0;
        let columns = self.span(center.x, reach);
        let edge = shape.softness.max(view.scale.recip());
        for row in self.span(center.y, reach) {
            for column in columns.clone() {
                let point = view.to_drawing(at(column as f32 + 0.5, row as f32 + 0.5));
                let cover = (0.5 - (shape.distance)(point) / edge).clamp(0.0, 1.0) * opacity;
                if cover > 0.0 {
                    let pixel = &mut self.pixels[row * self.side_px + column];
                    *pixel = mix(*pixel, color(point), cover);
                }
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the canvas"
    )]
    fn span(&self, center: f32, reach: f32) -> std::ops::Range<usize> {
        let clamp = |place: f32| place.clamp(0.0, self.side_px as f32) as usize;
        clamp((center - reach).floor())..clamp((center + reach).ceil())
    }
}

/// The color `share` of the way from one to the other.
pub(super) fn mix(from: Color, to: Color, share: f32) -> Color {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// A color made lighter or darker.
pub(super) fn scaled(color: Color, factor: f32) -> Color {
    color.map(|channel| channel * factor)
}

/// How far along the piece from `start` to `end`, 0 to 1, `point` lies, and how far from it.
fn along_and_away(start: Point, end: Point, point: Point) -> (f32, f32) {
    let (piece_x, piece_y) = (end.x - start.x, end.y - start.y);
    let (point_x, point_y) = (point.x - start.x, point.y - start.y);
    let length = (piece_x * piece_x + piece_y * piece_y).max(f32::MIN_POSITIVE);
    let along = ((point_x * piece_x + point_y * piece_y) / length).clamp(0.0, 1.0);
    (along, (point_x - along * piece_x).hypot(point_y - along * piece_y))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View { origin: at(16.0, 16.0), scale: 8.0, roll: 0.0 };

    fn painted(view: View, shape: &Shape<'_>) -> Vec<f32> {
        let mut canvas = Canvas::new(32, |_| [0.0; 3]);
        canvas.paint(view, shape, 1.0, |_| [1.0; 3]);
        canvas.pixels.iter().map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn a_disc_has_its_area() {
        let disc = Shape::ellipse(at(0.0, 0.0), at(1.0, 1.0), 2.0, 0.0);
        let area: f32 = painted(VIEW, &disc).iter().sum();
        let expected = std::f32::consts::PI * 64.0;
        // Edges are covered linearly in the distance: good to a fraction of a per cent.
        assert!((area - expected).abs() < 0.01 * expected, "{area} {expected}");
    }

    #[test]
    fn a_square_corner_is_not_cut_off() {
        let square = Shape::ellipse(at(0.0, 0.0), at(1.0, 1.0), 50.0, 0.0);
        let pixels = painted(VIEW, &square);
        assert!(pixels[9 * 32 + 9] > 0.99, "{}", pixels[9 * 32 + 9]);
        assert!(pixels[5 * 32 + 5] < 0.01);
    }

    #[test]
    fn roll_turns_clockwise() {
        let right = Shape::ellipse(at(1.0, 0.0), at(0.3, 0.3), 2.0, 0.0);
        let view = View { roll: std::f32::consts::FRAC_PI_2, ..VIEW };
        assert!(painted(view, &right)[24 * 32 + 16] > 0.99, "what was right is now below");
    }

    #[test]
    fn a_curve_passes_through_its_ends() {
        let points = [at(-1.0, 0.0), at(0.0, 1.0), at(1.0, 0.0)];
        let pixels = painted(VIEW, &Shape::curve(points, 0.4, 1.0));
        assert!(pixels[16 * 32 + 8] > 0.9 && pixels[16 * 32 + 23] > 0.9);
        assert!(pixels[20 * 32 + 16] > 0.9, "the middle lies halfway to the control point");
        assert!(pixels[16 * 32 + 16] < 0.1);
    }
}
