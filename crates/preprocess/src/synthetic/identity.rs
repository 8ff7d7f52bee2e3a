//! What stays the same in all photographs of a person.

use super::canvas::{Color, mix};
use crate::draws::Draws;

/// A person's looks. Lengths are in units of half the face's height unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Identity {
    pub(super) skin: Color,
    /// Half the face's width.
    pub(super) half_width: f32,
    /// From the middle of the face down to the chin.
    pub(super) chin: f32,
    /// How square the jaw is: the power of its ellipse.
    pub(super) jaw: f32,
    pub(super) ear_size: f32,
    pub(super) eyes: Eyes,
    pub(super) brows: Brows,
    pub(super) nose: Nose,
    pub(super) mouth: Mouth,
    pub(super) hair: Hair,
    pub(super) beard: Beard,
    pub(super) glasses: Glasses,
    /// A mole's place, in shares of the face's width and height, if there is one.
    pub(super) mole: Option<[f32; 2]>,
    pub(super) has_freckles: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Eyes {
    /// From the face's middle line.
    pub(super) distance: f32,
    /// Below the middle of the face; negative is above.
    pub(super) height: f32,
    pub(super) half_width: f32,
    pub(super) half_height: f32,
    /// Outer corners up, in radians.
    pub(super) slant: f32,
    pub(super) iris: Color,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Brows {
    pub(super) above_eye: f32,
    pub(super) thickness: f32,
    pub(super) half_length: f32,
    pub(super) slant: f32,
    pub(super) arch: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Nose {
    pub(super) length: f32,
    pub(super) half_width: f32,
    /// How far it stands out, which shows when the head turns.
    pub(super) depth: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mouth {
    /// Below the middle of the face.
    pub(super) height: f32,
    pub(super) half_width: f32,
    pub(super) upper_lip: f32,
    pub(super) lower_lip: f32,
    pub(super) color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hair {
    pub(super) style: HairStyle,
    pub(super) color: Color,
    /// Where the forehead ends, above the middle of the face.
    pub(super) hairline: f32,
    pub(super) volume: f32,
    /// Which side the parting is on, -1 to 1.
    pub(super) parting: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HairStyle {
    Bald,
    Short,
    Fringe,
    Parted,
    Long,
    Bob,
    Round,
    Bun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beard {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Glasses {
    None,
    /// Frames of this color; the power tells round from square ones.
    Worn {
        color: Color,
        power: f32,
        radius: f32,
    },
}

const SKINS: [Color; 6] = [
    [0.96, 0.82, 0.73],
    [0.91, 0.73, 0.60],
    [0.82, 0.62, 0.46],
    [0.69, 0.49, 0.34],
    [0.52, 0.35, 0.24],
    [0.37, 0.24, 0.17],
];

const HAIRS: [Color; 8] = [
    [0.09, 0.07, 0.07],
    [0.20, 0.13, 0.09],
    [0.34, 0.21, 0.12],
    [0.50, 0.33, 0.17],
    [0.78, 0.62, 0.35],
    [0.58, 0.24, 0.10],
    [0.62, 0.61, 0.60],
    [0.88, 0.86, 0.83],
];

const IRISES: [Color; 5] = [
    [0.27, 0.16, 0.09],
    [0.42, 0.28, 0.13],
    [0.31, 0.44, 0.27],
    [0.29, 0.47, 0.66],
    [0.45, 0.49, 0.52],
];

const FRAMES: [Color; 4] =
    [[0.08, 0.08, 0.09], [0.40, 0.19, 0.10], [0.62, 0.62, 0.66], [0.50, 0.09, 0.13]];

const STYLES: [HairStyle; 9] = [
    HairStyle::Bald,
    HairStyle::Short,
    HairStyle::Short,
    HairStyle::Fringe,
    HairStyle::Parted,
    HairStyle::Long,
    HairStyle::Bob,
    HairStyle::Round,
    HairStyle::Bun,
];

const BEARDS: [Beard; 9] = [
    Beard::None,
    Beard::None,
    Beard::None,
    Beard::None,
    Beard::None,
    Beard::Stubble,
    Beard::Moustache,
    Beard::Goatee,
    Beard::Full,
];

impl Identity {
    /// The looks of person `number` under `seed`, whoever else is drawn.
    pub(super) fn draw(seed: u64, number: u64) -> Self {
        let mut draws = Draws::new(seed, *b"identity", [number, 0]);
        let tone = draws.between(0.0, 4.999);
        let skin =
            between_neighbours(&SKINS, tone).map(|channel| channel * draws.between(0.96, 1.04));
        let hair_color = draws.pick(&HAIRS).map(|channel| channel * draws.between(0.85, 1.15));
        let lip_red = draws.between(0.25, 0.6);
        Self {
            skin,
            half_width: draws.between(0.66, 0.90),
            chin: draws.between(0.94, 1.18),
            jaw: draws.between(1.8, 3.0),
            ear_size: draws.between(0.13, 0.24),
            eyes: Eyes {
                distance: draws.between(0.29, 0.42),
                height: draws.between(-0.20, -0.02),
                half_width: draws.between(0.115, 0.185),
                half_height: draws.between(0.055, 0.115),
                slant: draws.between(-0.18, 0.22),
                iris: draws.pick(&IRISES),
            },
            brows: Brows {
                above_eye: draws.between(0.14, 0.27),
                thickness: draws.between(0.03, 0.11),
                half_length: draws.between(0.14, 0.23),
                slant: draws.between(-0.25, 0.3),
                arch: draws.between(0.0, 0.09),
            },
            nose: Nose {
                length: draws.between(0.32, 0.55),
                half_width: draws.between(0.10, 0.21),
                depth: draws.between(0.25, 0.55),
            },
            mouth: Mouth {
                height: draws.between(0.50, 0.66),
                half_width: draws.between(0.20, 0.36),
                upper_lip: draws.between(0.025, 0.085),
                lower_lip: draws.between(0.035, 0.11),
                color: mix(skin, [0.72, 0.22, 0.25], lip_red),
            },
            hair: Hair {
                style: draws.pick(&STYLES),
                color: hair_color,
                hairline: draws.between(0.52, 0.76),
                volume: draws.between(0.05, 0.24),
                parting: draws.between(-1.0, 1.0),
            },
            beard: draws.pick(&BEARDS),
            glasses: glasses(&mut draws),
            mole: draws.chance(0.3).then(|| [draws.between(-0.7, 0.7), draws.between(0.05, 0.75)]),
            has_freckles: draws.chance(0.15),
        }
    }
}

fn glasses(draws: &mut Draws) -> Glasses {
    if !draws.chance(0.3) {
        return Glasses::None;
    }
    Glasses::Worn {
        color: draws.pick(&FRAMES),
        power: draws.pick(&[2.0, 4.0, 6.0]),
        radius: draws.between(0.21, 0.29),
    }
}

/// The color at a place between the whole numbers that index `colors`.
fn between_neighbours(colors: &[Color], place: f32) -> Color {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the place lies within the list"
    )]
    let lower = place as usize;
    mix(colors[lower], colors[lower + 1], place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_differ_and_stay_themselves() {
        let people: Vec<_> = (0..50).map(|number| Identity::draw(7, number)).collect();
        for (number, person) in (0..).zip(&people) {
            assert_eq!(*person, Identity::draw(7, number));
            assert_eq!(people.iter().filter(|other| *other == person).count(), 1);
        }
        assert_ne!(people[0], Identity::draw(8, 0));
    }
}
