//! What is around, before and after a face: background, occlusion, light, blur, noise.

use image::{Rgb, RgbImage};

use super::canvas::{Canvas, Color, Shape, View, at, mix};
use super::photograph::{Occlusion, Photograph};
use super::render::Head;
use crate::draws::Draws;

pub(super) fn background(photograph: &Photograph, side_px: usize) -> Canvas {
    let scene = photograph.background;
    let [right, down] = scene.direction;
    let mut canvas = Canvas::new(side_px, |place| {
        let share = 0.5 + right * (place.x - 0.5) + down * (place.y - 0.5);
        mix(scene.colors[0], scene.colors[1], share.clamp(0.0, 1.0))
    });
    let view = View { origin: at(0.0, 0.0), scale: side_px as f32, roll: 0.0 };
    let mut draws = Draws::new(photograph.strewn, *b"scenery.", [0, 0]);
    for _ in 0..scene.things {
        let place = at(draws.between(0.0, 1.0), draws.between(0.0, 1.0));
        let radii = at(draws.between(0.05, 0.35), draws.between(0.05, 0.35));
        let thing = Shape::ellipse(place, radii, draws.pick(&[2.0, 8.0]), draws.between(-1.6, 1.6));
        let color: Color = std::array::from_fn(|_| draws.between(0.0, 1.0));
        canvas.paint(view, &thing.soft(draws.between(0.0, 0.08)), 0.9, |_| color);
    }
    canvas
}

pub(super) fn occlusion(head: &Head, occlusion: Occlusion, canvas: &mut Canvas) {
    let (width, chin) = (head.identity.half_width, head.identity.chin);
    let (shape, color) = match occlusion {
        Occlusion::None => return,
        Occlusion::Disc { place: [x, y], radius, color } => {
            (Shape::ellipse(at(x * width, y), at(radius, radius), 2.0, 0.0), color)
        }
        Occlusion::Bar { place: [x, y], turn, color } => {
            (Shape::ellipse(at(x * width, y), at(3.0, 0.13), 12.0, turn), color)
        }
        Occlusion::Cap { color } => {
            let brim = head.seen(0.0, -0.50, 0.9);
            let brim = Shape::ellipse(brim, at(1.15 * width, 0.09), 3.0, 0.0);
            head.paint(canvas, &brim, 1.0, color.map(|channel| 0.7 * channel));
            let top = head.seen(0.0, -0.52, 0.2);
            (Shape::egg(top, at(1.12 * width, 0.72), 0.06, [2.2, 4.0], 0.0), color)
        }
        Occlusion::Scarf { color } => {
            (Shape::ellipse(head.seen(0.0, chin + 0.12, 0.5), at(1.2, 0.42), 5.0, 0.0), color)
        }
    };
    head.paint(canvas, &shape, 1.0, color);
}

/// Light, blur and noise, and out come pixels.
pub(super) fn develop(mut canvas: Canvas, photograph: &Photograph) -> RgbImage {
    let light = photograph.light;
    for pixel in &mut canvas.pixels {
        for (channel, tint) in pixel.iter_mut().zip(light.tint) {
            let exposed = *channel * light.brightness * tint;
            *channel = (exposed - 0.5).mul_add(light.contrast, 0.5);
        }
    }
    let deviation_px = photograph.blur * canvas.side_px as f32;
    if deviation_px > 0.2 {
        blur(&mut canvas, deviation_px);
    }
    let mut draws = Draws::new(photograph.strewn, *b"noise...", [0, 0]);
    let side = u32::try_from(canvas.side_px).expect("a side is a few thousand pixels at most");
    let mut image = RgbImage::new(side, side);
    for (target, source) in image.pixels_mut().zip(&canvas.pixels) {
        *target = Rgb(source.map(|channel| to_byte(channel + noise(&mut draws, photograph.noise))));
    }
    image
}

/// Close to normal with the given deviation: the sum of two even numbers is a triangle.
fn noise(draws: &mut Draws, deviation: f32) -> f32 {
    let spread = deviation * 1.5_f32.sqrt();
    draws.between(-spread, spread) + draws.between(-spread, spread)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a byte holds"
)]
fn to_byte(channel: f32) -> u8 {
    (channel * 255.0).round().clamp(0.0, 255.0) as u8
}

/// Gaussian blur, first along rows, then along columns; the edge reaches on.
fn blur(canvas: &mut Canvas, deviation_px: f32) {
    let side = canvas.side_px;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a blur is a few dozen pixels wide at most"
    )]
    let reach = (3.0 * deviation_px).ceil() as usize;
    let weights: Vec<f32> =
        (0..=reach).map(|away| (-0.5 * (away as f32 / deviation_px).powi(2)).exp()).collect();
    let total = 2.0 * weights.iter().sum::<f32>() - weights[0];
    for (line, step) in [(side, 1), (1, side)] {
        let before = canvas.pixels.clone();
        for start in (0..side).map(|index| index * line) {
            for place in 0..side {
                let at = |place: usize| before[start + place * step];
                let mut sum = at(place).map(|channel| channel * weights[0]);
                for (away, weight) in weights.iter().enumerate().skip(1) {
                    let (low, high) =
                        (at(place.saturating_sub(away)), at((place + away).min(side - 1)));
                    for channel in 0..3 {
                        sum[channel] += weight * (low[channel] + high[channel]);
                    }
                }
                canvas.pixels[start + place * step] = sum.map(|channel| channel / total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_spreads_a_dot_and_keeps_its_sum() {
        let mut canvas = Canvas::new(31, |_| [0.0; 3]);
        canvas.pixels[15 * 31 + 15] = [1.0, 0.5, 0.0];
        blur(&mut canvas, 2.0);
        let sum: f32 = canvas.pixels.iter().map(|pixel| pixel[0]).sum();
        // Float rounding over 961 pixels.
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        let peak = canvas.pixels[15 * 31 + 15][0];
        // 1 / (2 pi sigma^2), cut off at three deviations.
        assert!((peak - 0.0398).abs() < 5e-4, "{peak}");
    }
}
