//! The convolution as its definition reads, on images without blocks, in f64: slow, and what the fast one is tested
//! against.

/// The sizes of a convolution's images and filters; the output has the height and width of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainShape {
    /// Number of images.
    pub batch: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the output: the number of filters.
    pub out_channels: usize,
    /// Rows of a channel.
    pub height: usize,
    /// Columns of a channel.
    pub width: usize,
}

impl PlainShape {
    /// Elements of the images, `(batch, in_channels, height, width)`.
    pub fn images_len(self) -> usize {
        crate::scratch::elements(&[self.batch, self.in_channels, self.height, self.width])
    }

    /// Elements of the weights, `(out_channels, in_channels, 3, 3)`.
    pub fn weights_len(self) -> usize {
        crate::scratch::elements(&[self.out_channels, self.in_channels, 9])
    }

    /// Elements of the output, `(batch, out_channels, height, width)`.
    pub fn output_len(self) -> usize {
        crate::scratch::elements(&[self.batch, self.out_channels, self.height, self.width])
    }

    /// Elements of one channel of one image.
    fn plane_len(self) -> usize {
        crate::scratch::elements(&[self.height, self.width])
    }
}

/// The sums before the activation, `(batch, out, height, width)`.
pub fn forward(shape: PlainShape, images: &[f64], weights: &[f64], bias: &[f64]) -> Vec<f64> {
    let mut output: Vec<f64> = (0..shape.output_len())
        .map(|at| bias[at / shape.plane_len() % shape.out_channels])
        .collect();
    for_each_product(shape, |image, weight, sum| output[sum] += images[image] * weights[weight]);
    output
}

/// The gradient of the images from that of the sums.
pub fn backward_images(shape: PlainShape, weights: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let mut grad_images = vec![0.0; shape.images_len()];
    for_each_product(shape, |image, weight, sum| {
        grad_images[image] += weights[weight] * grad_output[sum];
    });
    grad_images
}

/// The gradients of weights and bias from that of the sums.
pub fn backward_weights(
    shape: PlainShape,
    images: &[f64],
    grad_output: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut grad_weights = vec![0.0; shape.weights_len()];
    for_each_product(shape, |image, weight, sum| {
        grad_weights[weight] += images[image] * grad_output[sum];
    });
    let mut grad_bias = vec![0.0; shape.out_channels];
    for (at, grad) in grad_output.iter().enumerate() {
        grad_bias[at / shape.plane_len() % shape.out_channels] += grad;
    }
    (grad_weights, grad_bias)
}

/// Visits all products of a convolution as indices into images, weights and output.
fn for_each_product(shape: PlainShape, mut visit: impl FnMut(usize, usize, usize)) {
    let PlainShape { batch, in_channels, out_channels, height, width } = shape;
    for image in 0..batch {
        for (out_channel, in_channel) in pairs(out_channels, in_channels) {
            for (y, x) in pairs(height, width) {
                for (row, column) in pairs(3, 3) {
                    // The padding shifts by one; what falls outside is zero and adds nothing.
                    let (below, right) = (y + row, x + column);
                    if below < 1 || height < below || right < 1 || width < right {
                        continue;
                    }
                    visit(
                        ((image * in_channels + in_channel) * height + below - 1) * width + right
                            - 1,
                        ((out_channel * in_channels + in_channel) * 3 + row) * 3 + column,
                        ((image * out_channels + out_channel) * height + y) * width + x,
                    );
                }
            }
        }
    }
}

fn pairs(first: usize, second: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..first).flat_map(move |outer| (0..second).map(move |inner| (outer, inner)))
}
