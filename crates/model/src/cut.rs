//! Places between layers, at which the network can be entered and left.

use crate::{Architecture, Error};

/// A place between two layers of an [`Architecture`].
///
/// Cuts are ordered from the image to the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut(usize);

impl Cut {
    /// Before the first layer, where the images are.
    pub const IMAGES: Self = Self(0);

    /// Before the layer of this index.
    pub const fn before(index: usize) -> Self {
        Self(index)
    }

    /// Index of the first layer after the cut, which is also the number of layers before it.
    pub const fn index(self) -> usize {
        self.0
    }
}

impl Architecture {
    /// The cut behind the named layer: behind `pool5` lie the backbone's features.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownLayer`] if there is no such layer.
    pub fn cut_after(&self, layer_name: &str) -> Result<Cut, Error> {
        let layers = self.layers();
        match layers.iter().position(|layer| layer.name == layer_name) {
            Some(index) => Ok(Cut(index + 1)),
            None => Err(Error::unknown_layer(layer_name, &layers)),
        }
    }

    /// The cut behind the last layer.
    pub fn end(&self) -> Cut {
        Cut(self.layers().len())
    }

    /// Shape of one image's activations at a cut: `[channels, rows, columns]` or `[units]`.
    ///
    /// # Errors
    ///
    /// [`Error::Stretch`] if the cut lies behind the last layer, being another network's.
    pub fn shape_at(&self, cut: Cut) -> Result<Vec<usize>, Error> {
        let layers = self.layers();
        match cut.0.checked_sub(1) {
            None => Ok(vec![3, self.side_px, self.side_px]),
            Some(before) => layers
                .get(before)
                .map(|layer| layer.output_shape.clone())
                .ok_or(Error::Stretch { from: cut.0, to: cut.0, layers: layers.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Classifier, Head, Widths};

    const ARCHITECTURE: Architecture = Architecture {
        widths: Widths::VGG16,
        side_px: 224,
        classifier: Some(Classifier::new(Head::Vggface, 2622)),
    };

    #[test]
    fn cuts_have_the_published_shapes() {
        let shape = |layer| ARCHITECTURE.shape_at(ARCHITECTURE.cut_after(layer).unwrap()).unwrap();
        assert_eq!(ARCHITECTURE.shape_at(Cut::IMAGES).unwrap(), [3, 224, 224]);
        assert_eq!(shape("conv1_2"), [64, 224, 224]);
        assert_eq!(shape("pool5"), [512, 7, 7]);
        assert_eq!(shape("fc7"), [4096]);
        assert_eq!(ARCHITECTURE.shape_at(ARCHITECTURE.end()).unwrap(), [2622]);
    }

    #[test]
    fn cuts_are_ordered_like_the_layers() {
        let cut = |layer| ARCHITECTURE.cut_after(layer).unwrap();
        assert!(Cut::IMAGES < cut("conv1_1"));
        assert!(cut("conv5_3") < cut("pool5"));
        assert_eq!(cut("fc8"), ARCHITECTURE.end());
        assert_eq!(cut("pool5").index(), 18);
    }

    #[test]
    fn unknown_layers_are_refused_with_the_known_ones() {
        let error = ARCHITECTURE.cut_after("block5_pool").unwrap_err();
        assert!(matches!(&error, Error::UnknownLayer { name, .. } if name == "block5_pool"));
        assert!(error.to_string().contains("conv1_1, conv1_2, pool1"), "{error}");
    }

    #[test]
    fn cuts_of_longer_networks_have_no_shape() {
        let backbone = Architecture { classifier: None, ..ARCHITECTURE };
        let result = backbone.shape_at(ARCHITECTURE.end());
        assert!(matches!(result, Err(Error::Stretch { .. })));
    }
}
