//! The pool against its definition, window by window.

mod random;

use kernels::pooling::{self, PoolingShape};
use proptest::prelude::*;
use random::{assert_same, normal};

proptest! {
    #[test]
    fn agrees_with_a_search_of_each_window(
        (batch, channels) in (1..3_usize, 1..4_usize),
        (height, width) in (1..20_usize, 1..20_usize),
        seed: u64,
    ) {
        let shape = PoolingShape { batch, channels, height, width };
        // Rounded, so that many windows hold ties.
        let images: Vec<f32> =
            normal(seed, shape.images_len()).iter().map(|value| value.round()).collect();
        let (mut expected, mut expected_grad) = (Vec::new(), vec![0.0; images.len()]);
        let grad_output = normal(!seed, shape.output_len());
        for plane in 0..batch * channels {
            for (y, x) in (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (y, x))) {
                let window = [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(row, column)| (plane * height + 2 * y + row) * width + 2 * x + column);
                let mut largest = window[0];
                for at in window {
                    if images[at] > images[largest] {
                        largest = at;
                    }
                }
                expected_grad[largest] = grad_output[expected.len()];
                expected.push(images[largest]);
            }
        }
        let mut output = vec![f32::NAN; shape.output_len()];
        let mut argmax = vec![9; shape.output_len()];
        pooling::forward(shape, &images, &mut output, &mut argmax);
        assert_same("output", &output, &expected);
        let mut grad_images = vec![f32::NAN; images.len()];
        pooling::backward(shape, &grad_output, &argmax, &mut grad_images);
        assert_same("grad_images", &grad_images, &expected_grad);
    }
}
