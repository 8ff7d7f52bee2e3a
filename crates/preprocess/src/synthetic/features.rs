//! The parts of a face: eyes, brows, nose, mouth, beard, glasses, marks on the skin.

use super::canvas::{Canvas, Color, Shape, at, mix, scaled};
use super::identity::{Beard, Brows, Eyes, Glasses, Identity, Mouth};
use super::photograph::Expression;
use super::render::Head;
use crate::draws::Draws;

const WHITE: Color = [0.93, 0.92, 0.90];
const BLACK: Color = [0.05, 0.04, 0.04];

pub(super) fn eyes(head: &Head, expression: Expression, canvas: &mut Canvas) {
    let Identity { skin, eyes, .. } = head.identity;
    let Eyes { distance, height, half_width, half_height, slant, iris } = eyes;
    for side in [-1.0, 1.0] {
        let x = side * distance;
        let place = head.seen(x, height, head.depth(x));
        let wide = half_width * head.narrowing(x);
        let open = half_height * expression.eyes_open;
        let turn = -side * slant;
        let opening = || Shape::egg(place, at(wide, open), 0.85 * open, [1.9, 1.9], turn);
        let socket = Shape::ellipse(place, at(1.5 * wide, 2.3 * half_height), 2.0, turn);
        head.paint(canvas, &socket.soft(0.12), 0.35, scaled(skin, 0.70));
        head.paint(canvas, &opening(), 1.0, WHITE);
        let radius = 0.58 * half_width;
        let gaze = expression.gaze;
        let pupil = at(place.x + 0.5 * gaze[0] * wide, place.y + 0.5 * gaze[1] * open);
        let disc = |share: f32| Shape::ellipse(pupil, at(share * radius, share * radius), 2.0, 0.0);
        head.paint(canvas, &disc(1.0).inside(opening()), 1.0, iris);
        head.paint(canvas, &disc(0.45).inside(opening()), 1.0, BLACK);
        let glint = at(pupil.x - 0.3 * radius, pupil.y - 0.35 * radius);
        let glint = Shape::ellipse(glint, at(0.2 * radius, 0.2 * radius), 2.0, 0.0);
        head.paint(canvas, &glint.inside(opening()), 0.9, WHITE);
        let (sin, cos) = turn.sin_cos();
        let corner = |end: f32| at(place.x + end * wide * cos, place.y + end * wide * sin);
        let lid = at(place.x + 2.0 * open * sin, place.y - 2.0 * open * cos);
        let lashes = Shape::curve([corner(-1.05), lid, corner(1.05)], 0.045, 0.5);
        head.paint(canvas, &lashes, 0.9, mix(BLACK, skin, 0.15));
    }
}

pub(super) fn brows(head: &Head, expression: Expression, canvas: &mut Canvas) {
    let Identity { skin, eyes, brows, hair, .. } = head.identity;
    let Brows { above_eye, thickness, half_length, slant, arch } = brows;
    let y = eyes.height - above_eye - expression.brows_up;
    let color = mix(scaled(hair.color, 0.75), skin, 0.12);
    for side in [-1.0, 1.0] {
        let x = side * eyes.distance;
        let end = |along: f32| {
            let x = x + side * along * half_length;
            head.seen(x, y - along * half_length * slant, head.depth(x))
        };
        let middle = head.seen(x, y - 2.0 * arch, head.depth(x));
        let brow = Shape::curve([end(-1.0), middle, end(1.1)], thickness, 0.45);
        head.paint(canvas, &brow.soft(0.02), 0.92, color);
    }
}

pub(super) fn nose(head: &Head, canvas: &mut Canvas) {
    let Identity { skin, eyes, nose, .. } = head.identity;
    let top = eyes.height + 0.02;
    let bottom = top + nose.length;
    let depth = |share: f32| 1.0 + share * nose.depth;
    let tip = head.seen(0.0, bottom, depth(1.0));
    let shadow = scaled(skin, 0.66);
    let bridge = Shape::curve(
        [
            head.seen(-0.09, top, depth(0.1)),
            head.seen(-0.05, 0.5 * (top + bottom), depth(0.5)),
            head.seen(-0.95 * nose.half_width, bottom, depth(0.5)),
        ],
        0.06,
        0.4,
    );
    head.paint(canvas, &bridge.soft(0.06), 0.55, shadow);
    let shine = Shape::curve(
        [
            head.seen(0.02, top + 0.05, depth(0.3)),
            head.seen(0.03, 0.5 * (top + bottom), depth(0.7)),
            at(tip.x + 0.02, tip.y - 0.05),
        ],
        0.07,
        0.6,
    );
    head.paint(canvas, &shine.soft(0.08), 0.5, mix(skin, [1.0; 3], 0.3));
    let ball = Shape::ellipse(tip, at(0.62 * nose.half_width, 0.075), 2.0, 0.0);
    head.paint(canvas, &ball.soft(0.08), 0.6, mix(skin, [0.85, 0.4, 0.35], 0.18));
    for side in [-1.0, 1.0] {
        let wing = head.seen(side * 0.8 * nose.half_width, bottom + 0.02, depth(0.5));
        let around = Shape::ellipse(wing, at(0.36 * nose.half_width, 0.06), 2.0, 0.0);
        head.paint(canvas, &around.soft(0.04), 0.5, scaled(skin, 0.74));
        let nostril = head.seen(side * 0.5 * nose.half_width, bottom + 0.055, depth(0.7));
        let nostril = Shape::ellipse(nostril, at(0.32 * nose.half_width, 0.026), 2.0, -side * 0.3);
        head.paint(canvas, &nostril.soft(0.02), 0.85, scaled(skin, 0.32));
    }
}

pub(super) fn mouth(head: &Head, expression: Expression, canvas: &mut Canvas) {
    let Mouth { height, half_width, upper_lip, lower_lip, color } = head.identity.mouth;
    let Expression { smile, mouth_open, .. } = expression;
    let wide = half_width * (1.0 + 0.16 * smile);
    let lift = 0.11 * smile;
    let gap = 0.16 * mouth_open;
    let corner = |side: f32| head.seen(side * wide, height - lift, head.depth(side * wide));
    let middle = |y: f32| head.seen(0.0, height + y, 1.08);
    let line = |bend: f32, width: f32| {
        Shape::curve([corner(-1.0), middle(lift + 2.0 * bend), corner(1.0)], width, 0.25)
    };
    head.paint(
        canvas,
        &line(0.5 * gap - 0.1 * upper_lip, 1.6 * gap + 0.02),
        1.0,
        [0.23, 0.07, 0.08],
    );
    if mouth_open > 0.25 && smile > 0.1 {
        head.paint(canvas, &line(0.22 * gap, 0.5 * gap), 1.0, WHITE);
    }
    head.paint(canvas, &line(gap + 0.4 * lower_lip, lower_lip), 1.0, scaled(color, 1.06));
    head.paint(canvas, &line(-0.4 * upper_lip, upper_lip), 1.0, scaled(color, 0.9));
    if gap < 0.03 {
        head.paint(canvas, &line(0.0, 0.022), 0.85, scaled(color, 0.42));
    }
    let crease =
        Shape::ellipse(middle(gap + 1.5 * lower_lip + 0.06), at(0.5 * wide, 0.03), 2.0, 0.0);
    head.paint(canvas, &crease.soft(0.06), 0.3, scaled(head.identity.skin, 0.6));
}

pub(super) fn beard(head: &Head, canvas: &mut Canvas) {
    let Identity { skin, mouth, chin, half_width, hair, beard, .. } = head.identity;
    let color = mix(scaled(hair.color, 0.85), skin, 0.08);
    let around_chin = |y: f32, wide: f32, tall: f32| {
        Shape::ellipse(head.seen(0.0, y, 0.9), at(wide, tall), 2.4, 0.0).inside(head.outline())
    };
    let moustache = || {
        let y = mouth.height - mouth.upper_lip - 0.05;
        let end = |side: f32| head.seen(side * 1.15 * mouth.half_width, y + 0.09, 0.9);
        Shape::curve([end(-1.0), head.seen(0.0, y - 0.1, 1.1), end(1.0)], 0.13, 0.2)
    };
    let jaw = || {
        let free = Shape::egg(
            head.seen(0.0, 0.05, 0.8),
            at(0.86 * half_width, 1.2),
            0.62 * chin - 0.05,
            [2.0, 2.6],
            0.0,
        );
        let below = Shape::ellipse(head.seen(0.0, chin, 0.3), at(1.4, chin - 0.02), 8.0, 0.0);
        head.outline().inside(below).outside(free)
    };
    match beard {
        Beard::None => {}
        Beard::Stubble => {
            head.paint(canvas, &jaw().soft(0.15), 0.35, color);
            head.paint(canvas, &moustache().soft(0.08), 0.3, color);
        }
        Beard::Moustache => head.paint(canvas, &moustache().soft(0.02), 0.95, color),
        Beard::Goatee => {
            head.paint(canvas, &moustache().soft(0.03), 0.85, color);
            let tuft = around_chin(chin - 0.13, 0.75 * mouth.half_width, 0.19);
            head.paint(canvas, &tuft.soft(0.04), 0.95, color);
        }
        Beard::Full => {
            head.paint(canvas, &jaw().soft(0.05), 0.95, color);
            head.paint(canvas, &moustache().soft(0.03), 0.95, color);
        }
    }
}

pub(super) fn glasses(head: &Head, canvas: &mut Canvas) {
    let Identity { half_width, eyes, glasses, .. } = head.identity;
    let Glasses::Worn { color, power, radius } = glasses else {
        return;
    };
    let y = eyes.height + 0.03;
    let rim = |side: f32| {
        let x = side * (eyes.distance + 0.01);
        let radii = at(radius * head.narrowing(x), 0.82 * radius);
        Shape::ellipse(head.seen(x, y, 1.12), radii, power, 0.0)
    };
    for side in [-1.0, 1.0] {
        head.paint(canvas, &rim(side), 0.12, WHITE);
        head.paint(canvas, &rim(side).outline(0.045), 1.0, color);
        let hinge = head.seen(side * (eyes.distance + radius), y - 0.03, 1.0);
        let ear = head.seen(side * half_width, y - 0.03, 0.1);
        head.paint(
            canvas,
            &Shape::curve([hinge, hinge.toward(ear, 0.5), ear], 0.04, 1.0),
            1.0,
            color,
        );
    }
    let inner = (eyes.distance - radius).max(0.02);
    let bridge =
        [head.seen(-inner, y, 1.15), head.seen(0.0, y - 0.08, 1.25), head.seen(inner, y, 1.15)];
    head.paint(canvas, &Shape::curve(bridge, 0.04, 1.0), 1.0, color);
}

pub(super) fn marks(head: &Head, strewn: u64, canvas: &mut Canvas) {
    let Identity { skin, half_width, mole, has_freckles, .. } = head.identity;
    if has_freckles {
        let mut draws = Draws::new(strewn, *b"freckles", [0, 0]);
        for _ in 0..26 {
            let x = draws.between(-0.7, 0.7) * half_width;
            let place = head.seen(x, draws.between(0.02, 0.38), head.depth(x));
            let freckle = Shape::ellipse(place, at(0.02, 0.02), 2.0, 0.0);
            head.paint(canvas, &freckle, 0.5, mix(skin, [0.45, 0.22, 0.1], 0.7));
        }
    }
    if let Some([across, down]) = mole {
        let x = across * half_width;
        let mole = Shape::ellipse(head.seen(x, down, head.depth(x)), at(0.035, 0.035), 2.0, 0.0);
        head.paint(canvas, &mole, 0.9, scaled(skin, 0.35));
    }
}
