//! What each image of a training batch should be.

/// The truth of a batch, perhaps mixed of two.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One label an image.
    Labels(Vec<u32>),
    /// Two labels an image, as mixup gives them.
    Mixed {
        /// The first labels.
        labels: Vec<u32>,
        /// The second labels, as many.
        partners: Vec<u32>,
        /// How much of each image is of its first label, 0 to 1; the rest is of the second. As many.
        shares: Vec<f32>,
    },
}

impl Targets {
    /// How many images there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Labels(labels) | Self::Mixed { labels, .. } => labels.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many predictions are right, each as far as its image is of the label predicted.
    ///
    /// # Shapes
    ///
    /// - `predicted`: `(batch,)`, labels
    ///
    /// # Source
    ///
    /// Zhang et al., mixup (ICLR 2018), facebookresearch/mixup-cifar10, `train.py`: `lam *
    /// predicted.eq(targets_a) + (1 - lam) * predicted.eq(targets_b)`.
    pub fn hits(&self, predicted: &[u32]) -> f64 {
        match self {
            Self::Labels(labels) => {
                predicted.iter().zip(labels).filter(|(found, label)| found == label).count() as f64
            }
            Self::Mixed { labels, partners, shares } => predicted
                .iter()
                .zip(labels.iter().zip(partners).zip(shares))
                .map(|(found, ((label, partner), &share))| {
                    let share = f64::from(share);
                    let of_label = if found == label { share } else { 0.0 };
                    let of_partner = if found == partner { 1.0 - share } else { 0.0 };
                    of_label + of_partner
                })
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_counts_as_far_as_the_image_is_of_the_label() {
        let labels = vec![0, 1, 2];
        let found = Targets::Labels(labels.clone()).hits(&[0, 2, 2]);
        assert!((found - 2.0).abs() < f64::EPSILON);
        let mixed =
            Targets::Mixed { labels, partners: vec![2, 2, 2], shares: vec![0.25, 0.25, 0.25] };
        // A quarter, three quarters, and the whole of an image that is mixed with its like.
        assert!((mixed.hits(&[0, 2, 2]) - 2.0).abs() < f64::EPSILON);
        assert!((mixed.hits(&[1, 0, 2]) - 1.0).abs() < f64::EPSILON);
    }
}
