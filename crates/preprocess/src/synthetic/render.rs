//! Draws a person as a photograph shows them.

use super::canvas::{Canvas, Color, Point, Shape, View, at, mix, scaled};
use super::features;
use super::identity::{Hair, HairStyle, Identity};
use super::photograph::{Photograph, Pose};
use super::scenery;

/// Draws the photograph; its light, blur and noise are not yet in it.
pub(super) fn render(identity: &Identity, photograph: &Photograph, side_px: usize) -> Canvas {
    let mut canvas = scenery::background(photograph, side_px);
    let head = Head::new(*identity, photograph, side_px);
    head.hair_behind(&mut canvas);
    head.shoulders(&mut canvas, photograph.clothes);
    head.ears(&mut canvas);
    head.face(&mut canvas);
    features::beard(&head, &mut canvas);
    features::mouth(&head, photograph.expression, &mut canvas);
    features::nose(&head, &mut canvas);
    features::eyes(&head, photograph.expression, &mut canvas);
    features::brows(&head, photograph.expression, &mut canvas);
    features::marks(&head, photograph.strewn, &mut canvas);
    head.hair_before(&mut canvas);
    if photograph.wears_glasses {
        features::glasses(&head, &mut canvas);
    }
    scenery::occlusion(&head, photograph.occlusion, &mut canvas);
    canvas
}

/// A head in its place on the canvas.
pub(super) struct Head {
    pub(super) identity: Identity,
    pub(super) view: View,
    pose: Pose,
    /// Brightness added per unit to the right and downwards.
    slope: [f32; 2],
}

impl Head {
    fn new(identity: Identity, photograph: &Photograph, side_px: usize) -> Self {
        let side = side_px as f32;
        let pose = photograph.pose;
        let origin = at(pose.center[0] * side, pose.center[1] * side);
        let view = View { origin, scale: pose.scale * side, roll: pose.roll };
        Self { identity, view, pose, slope: photograph.light.slope }
    }

    /// Where a place on the face is seen when the head turns and nods.
    ///
    /// `x` and `y` are as seen from the front; `depth` is how far it stands out from the head's
    /// axis, 1 being the front of the face.
    pub(super) fn seen(&self, x: f32, y: f32, depth: f32) -> Point {
        let Pose { yaw, pitch, .. } = self.pose;
        let turn = 0.62;
        at(
            x * yaw.cos() + turn * depth * yaw.sin(),
            y * pitch.cos() + 0.5 * turn * depth * pitch.sin(),
        )
    }

    /// How deep a place on the curved front of the face lies, as `depth` for [`Head::seen`].
    pub(super) fn depth(&self, x: f32) -> f32 {
        (1.0 - (x / self.identity.half_width).powi(2)).max(0.0).sqrt()
    }

    /// A factor for widths of what lies at `x`: narrower on the side turned away.
    pub(super) fn narrowing(&self, x: f32) -> f32 {
        let slope = x / self.identity.half_width;
        (self.pose.yaw.cos() - 0.62 * slope * self.pose.yaw.sin()).clamp(0.45, 1.25)
    }

    /// The color of something on the face in the light that falls on it.
    pub(super) fn lit(&self, color: Color, point: Point) -> Color {
        scaled(color, (1.0 + self.slope[0] * point.x + self.slope[1] * point.y).clamp(0.3, 1.7))
    }

    /// Paints part of the head, lit.
    pub(super) fn paint(&self, canvas: &mut Canvas, shape: &Shape<'_>, opacity: f32, color: Color) {
        canvas.paint(self.view, shape, opacity, |point| self.lit(color, point));
    }

    /// The face's outline.
    pub(super) fn outline(&self) -> Shape<'static> {
        let Identity { half_width, chin, jaw, .. } = self.identity;
        Shape::egg(self.middle(), at(half_width, 0.95), chin, [2.1, jaw], 0.0)
    }

    /// The head's axis: it follows the turn only a little.
    fn middle(&self) -> Point {
        self.seen(0.0, 0.0, 0.25)
    }

    fn face(&self, canvas: &mut Canvas) {
        let Identity { skin, half_width, .. } = self.identity;
        let front = self.seen(0.0, 0.0, 1.0);
        canvas.paint(self.view, &self.outline(), 1.0, |point| {
            // Darker towards the edges, which turn away.
            let across = (point.x - front.x) / half_width;
            let along = point.y - front.y;
            let shade = 1.04 - 0.20 * across * across - 0.07 * along * along;
            self.lit(scaled(skin, shade), point)
        });
        for x in [-0.55, 0.55] {
            let x = x * half_width;
            let cheek = Shape::ellipse(self.seen(x, 0.32, self.depth(x)), at(0.17, 0.13), 2.0, 0.0);
            let blush = mix(skin, [0.85, 0.35, 0.33], 0.4);
            self.paint(canvas, &cheek.soft(0.25), 0.35, blush);
        }
    }

    fn ears(&self, canvas: &mut Canvas) {
        let Identity { skin, half_width, ear_size, .. } = self.identity;
        for side in [-1.0, 1.0] {
            let place = self.seen(side * (half_width + 0.25 * ear_size), 0.02, -0.1);
            let radii = at(0.62 * ear_size, 1.25 * ear_size);
            let ear = Shape::ellipse(place, radii, 2.0, side * 0.2);
            self.paint(canvas, &ear, 1.0, scaled(skin, 0.88));
            let hollow = Shape::ellipse(place, at(0.3 * ear_size, 0.7 * ear_size), 2.0, side * 0.2);
            self.paint(canvas, &hollow.soft(0.05), 0.6, scaled(skin, 0.62));
        }
    }

    fn shoulders(&self, canvas: &mut Canvas, clothes: Color) {
        let Identity { skin, half_width, chin, .. } = self.identity;
        let neck = Shape::ellipse(at(0.0, chin + 0.05), at(0.62 * half_width, 0.75), 4.0, 0.0);
        self.paint(canvas, &neck, 1.0, scaled(skin, 0.78));
        let body = Shape::ellipse(at(0.0, chin + 1.44), at(1.75, 1.18), 2.6, 0.0);
        self.paint(canvas, &body, 1.0, clothes);
        let collar = Shape::ellipse(at(0.0, chin + 0.27), at(0.5 * half_width, 0.22), 2.0, 0.0);
        self.paint(canvas, &collar, 1.0, scaled(skin, 0.8));
    }

    /// Hair that falls behind the face.
    fn hair_behind(&self, canvas: &mut Canvas) {
        let Identity { half_width, chin, hair, .. } = self.identity;
        let Hair { style, color, volume, .. } = hair;
        let back = self.seen(0.0, 0.0, -0.15);
        let dark = scaled(color, 0.72);
        let width = half_width + volume;
        let shape = match style {
            HairStyle::Bald | HairStyle::Short | HairStyle::Fringe | HairStyle::Parted => return,
            HairStyle::Long => {
                let radii = at(width + 0.06, 1.02 + volume);
                Shape::egg(back, radii, chin + 0.75, [2.1, 5.0], 0.0)
            }
            HairStyle::Bob => {
                let radii = at(width + 0.10, 1.02 + volume);
                Shape::egg(back, radii, 0.55 * chin + 0.2, [2.1, 5.0], 0.0)
            }
            HairStyle::Round => {
                let radius = 0.98 + 1.3 * volume;
                Shape::ellipse(at(back.x, back.y - 0.28), at(radius, radius), 2.0, 0.0)
            }
            HairStyle::Bun => {
                let radius = 0.26 + 0.5 * volume;
                let place = at(back.x, back.y - 1.0 - 0.7 * radius);
                Shape::ellipse(place, at(radius * 1.1, radius), 2.0, 0.0)
            }
        };
        self.paint(canvas, &shape, 1.0, dark);
    }

    /// Hair over skull and forehead.
    fn hair_before(&self, canvas: &mut Canvas) {
        let Identity { half_width, hair, .. } = self.identity;
        let Hair { style, color, hairline, volume, parting } = hair;
        let width = half_width + 0.35 * volume;
        let skull = || {
            let radii = at(width + 0.02, 0.98 + 0.8 * volume);
            Shape::egg(self.middle(), radii, 0.42, [2.1, 3.0], 0.0)
        };
        // The part of the face that stays free: an ellipse from the hairline down.
        let free = |top: f32, wide: f32, x: f32| {
            let center = self.seen(x, 0.55 - 0.5 * top, 0.6);
            Shape::egg(center, at(wide, 0.5 * top + 0.55), 2.0, [2.6, 2.0], 0.0)
        };
        let shape = match style {
            HairStyle::Bald => return,
            HairStyle::Short => skull().outside(free(hairline, 0.93 * half_width, 0.0)),
            HairStyle::Fringe => skull().outside(free(0.62 * hairline, 0.88 * half_width, 0.0)),
            HairStyle::Parted => {
                skull().outside(free(hairline, 0.82 * half_width, 0.30 * parting * half_width))
            }
            HairStyle::Long => skull().outside(free(hairline, 0.80 * half_width, 0.1 * parting)),
            HairStyle::Bob => skull().outside(free(0.66 * hairline, 0.84 * half_width, 0.0)),
            HairStyle::Round => skull().outside(free(0.9 * hairline, 0.92 * half_width, 0.0)),
            HairStyle::Bun => skull().outside(free(hairline + 0.08, 0.95 * half_width, 0.0)),
        };
        let top = self.middle().y - 1.0;
        canvas.paint(self.view, &shape, 1.0, |point| {
            // A sheen near the top, and strands.
            let sheen = 0.22 * (-((point.y - top - 0.35) / 0.22).powi(2)).exp();
            let strands = 0.06 * (37.0 * point.x + 9.0 * point.y).sin();
            self.lit(scaled(color, 1.0 + sheen + strands), point)
        });
    }
}
