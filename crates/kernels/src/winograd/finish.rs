//! What becomes of the sums of a convolution.

use super::tiles::ToPixels;
use crate::blocked::BlockedShape;
use crate::scratch::SharedSlice;

/// What becomes of the sums.
pub(crate) enum Finish<'a> {
    /// They are the result: the gradient of images that nothing came before.
    Sums,
    /// They are rectified.
    Rectified,
    /// They are rectified and pooled; each window's winner goes here.
    Pooled(&'a mut [u8]),
    /// They are the gradient of these images, and pass the activation that gave them.
    Passed(&'a [f32]),
    /// They are the gradient of pooled images: each goes to its window's winner, in images of this shape.
    Unpooled(&'a [u8], BlockedShape),
}

/// [`Finish`], to be shared by tasks that write different tiles.
pub(super) enum SharedFinish<'a> {
    Pixels(ToPixels<'a>),
    Pooled(SharedSlice<'a, u8>),
    Unpooled(&'a [u8], BlockedShape),
}

impl<'a> Finish<'a> {
    /// For sums of this shape, with the shape of the output.
    pub(super) fn shared(self, written: BlockedShape) -> (SharedFinish<'a>, BlockedShape) {
        match self {
            Self::Sums => (SharedFinish::Pixels(ToPixels::Sums), written),
            Self::Rectified => (SharedFinish::Pixels(ToPixels::Rectified), written),
            Self::Passed(images) => {
                assert_eq!(images.len(), written.len(), "images that the gradient is of");
                (SharedFinish::Pixels(ToPixels::Passed(images)), written)
            }
            Self::Pooled(winners) => {
                assert_eq!(winners.len(), written.pooled().winners_len(), "winners");
                (SharedFinish::Pooled(SharedSlice::new(winners)), written.pooled())
            }
            Self::Unpooled(winners, before) => {
                assert_eq!(winners.len(), written.winners_len(), "winners");
                assert_eq!(before.pooled(), written, "the shape before the pool");
                (SharedFinish::Unpooled(winners, before), before)
            }
        }
    }
}

impl SharedFinish<'_> {
    /// The part of the output that is written: rows and columns beyond whole windows get no gradient.
    pub(super) fn interior(&self, output: BlockedShape) -> [usize; 2] {
        match self {
            Self::Unpooled(..) => [output.height / 2 * 2, output.width / 2 * 2],
            Self::Pixels(_) | Self::Pooled(_) => [output.height, output.width],
        }
    }
}
