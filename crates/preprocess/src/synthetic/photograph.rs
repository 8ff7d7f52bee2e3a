//! What changes from one photograph of a person to the next.

use super::canvas::Color;
use crate::draws::Draws;

/// The circumstances of one photograph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Photograph {
    pub(super) pose: Pose,
    pub(super) expression: Expression,
    pub(super) light: Light,
    pub(super) background: Background,
    pub(super) clothes: Color,
    pub(super) occlusion: Occlusion,
    /// Whether a person who has glasses wears them.
    pub(super) wears_glasses: bool,
    /// Standard deviation of the blur, in shares of the side.
    pub(super) blur: f32,
    /// Standard deviation of the noise, 0 to 1 being black to white.
    pub(super) noise: f32,
    /// Seed of all that is strewn: noise, freckles, things in the background.
    pub(super) strewn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    /// Turn to the right of the picture, in radians.
    pub(super) yaw: f32,
    /// Nod downwards, in radians.
    pub(super) pitch: f32,
    /// Tilt clockwise, in radians.
    pub(super) roll: f32,
    /// Half the face's height as a share of the picture's side.
    pub(super) scale: f32,
    /// The face's middle, in shares of the side.
    pub(super) center: [f32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expression {
    /// -1 is sad, 1 is laughing.
    pub(super) smile: f32,
    pub(super) mouth_open: f32,
    /// 1 is as the person's eyes are at rest.
    pub(super) eyes_open: f32,
    pub(super) brows_up: f32,
    pub(super) gaze: [f32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Light {
    pub(super) brightness: f32,
    pub(super) contrast: f32,
    /// Factors of red, green and blue.
    pub(super) tint: Color,
    /// How much brighter the face is towards the right and the bottom.
    pub(super) slope: [f32; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Background {
    pub(super) colors: [Color; 2],
    /// Direction in which one color goes over into the other.
    pub(super) direction: [f32; 2],
    /// How many discs and bars stand around.
    pub(super) things: u8,
}

/// What hides part of the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Occlusion {
    None,
    /// A disc, such as a hand or a microphone, at a place on the face.
    Disc {
        place: [f32; 2],
        radius: f32,
        color: Color,
    },
    /// A bar in front of the picture.
    Bar {
        place: [f32; 2],
        turn: f32,
        color: Color,
    },
    /// A cap over forehead and hair.
    Cap {
        color: Color,
    },
    /// A scarf over chin and mouth.
    Scarf {
        color: Color,
    },
}

impl Photograph {
    /// The circumstances of photograph `number` of person `identity` under `seed`.
    pub(super) fn draw(seed: u64, identity: u64, number: u64) -> Self {
        let mut draws = Draws::new(seed, *b"photogr.", [identity, number]);
        Self {
            pose: Pose {
                yaw: draws.normal(0.0, 0.28).clamp(-0.75, 0.75),
                pitch: draws.normal(0.0, 0.14).clamp(-0.35, 0.35),
                roll: draws.normal(0.0, 0.16).clamp(-0.5, 0.5),
                scale: draws.between(0.24, 0.36),
                center: [
                    draws.normal(0.5, 0.05).clamp(0.38, 0.62),
                    draws.normal(0.5, 0.045).clamp(0.40, 0.60),
                ],
            },
            expression: Expression {
                smile: draws.between(-0.5, 1.0),
                mouth_open: (draws.between(-1.0, 1.0)).max(0.0),
                eyes_open: draws.between(0.55, 1.2),
                brows_up: draws.normal(0.0, 0.03),
                gaze: [draws.between(-0.5, 0.5), draws.between(-0.3, 0.3)],
            },
            light: Light {
                brightness: draws.between(0.55, 1.3),
                contrast: draws.between(0.6, 1.15),
                tint: [draws.between(0.82, 1.18), 1.0, draws.between(0.78, 1.2)],
                slope: [draws.between(-0.55, 0.55), draws.between(-0.35, 0.25)],
            },
            background: Background {
                colors: [any_color(&mut draws), any_color(&mut draws)],
                direction: [draws.between(-1.0, 1.0), draws.between(-1.0, 1.0)],
                things: draws.pick(&[0, 1, 2, 4, 6]),
            },
            clothes: any_color(&mut draws),
            occlusion: occlusion(&mut draws),
            wears_glasses: draws.chance(0.85),
            blur: draws.between(-0.006, 0.014).max(0.0),
            noise: draws.between(0.004, 0.05),
            strewn: seed ^ identity.rotate_left(20) ^ number.rotate_left(40),
        }
    }
}

fn any_color(draws: &mut Draws) -> Color {
    std::array::from_fn(|_| draws.between(0.02, 0.98))
}

fn occlusion(draws: &mut Draws) -> Occlusion {
    let place = [draws.between(-0.8, 0.8), draws.between(-0.5, 0.9)];
    let color = any_color(draws);
    match draws.between(0.0, 1.0) {
        share if share < 0.08 => {
            Occlusion::Disc { place, radius: draws.between(0.15, 0.35), color }
        }
        share if share < 0.15 => Occlusion::Bar { place, turn: draws.between(-1.5, 1.5), color },
        share if share < 0.21 => Occlusion::Cap { color },
        share if share < 0.26 => Occlusion::Scarf { color },
        _ => Occlusion::None,
    }
}
