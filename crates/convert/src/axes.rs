//! Axis orders: the one place where a source's arrays are turned into this project's.

/// The order of axes in which a format stores its arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axes {
    /// Kernels (row, column, in, out), dense weights (in, out), features flattened in
    /// (row, column, channel) order: Keras.
    ChannelsLast,
    /// Kernels (out, in, row, column), dense weights (out, in), features flattened in
    /// (channel, row, column) order: this project.
    ChannelsFirst,
}

/// The extents of a convolution's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// How an array's values have to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Not at all.
    Kept,
    /// From (place, in, out) to (out, in, place), with these extents of (place, in, out).
    ///
    /// That is the whole difference for every weight. A place is a pixel (row, column) of a
    /// kernel, or of `pool5` for the dense layer behind it, whose inputs are `pool5`'s channels;
    /// any other dense layer has a single place.
    Reversed([usize; 3]),
}

impl Axes {
    /// The extents of a kernel, if the shape is one.
    pub(crate) fn kernel(self, shape: &[usize]) -> Option<Kernel> {
        match (self, shape) {
            (Self::ChannelsLast, &[rows, columns, inputs, outputs])
            | (Self::ChannelsFirst, &[outputs, inputs, rows, columns]) => {
                Some(Kernel { rows, columns, inputs, outputs })
            }
            _ => None,
        }
    }

    /// Features in and out of a dense weight, if the shape is one.
    pub(crate) fn dense(self, shape: &[usize]) -> Option<(usize, usize)> {
        match (self, shape) {
            (Self::ChannelsLast, &[inputs, outputs])
            | (Self::ChannelsFirst, &[outputs, inputs]) => Some((inputs, outputs)),
            _ => None,
        }
    }

    /// How a weight with these extents of (place, in, out) has to be moved.
    pub(crate) fn order(self, extents: [usize; 3]) -> Order {
        match self {
            Self::ChannelsLast => Order::Reversed(extents),
            Self::ChannelsFirst => Order::Kept,
        }
    }
}

/// Rows of (place, in) and columns of (out) that are moved together: what they touch on both
/// sides fits into 64 KiB, where whole columns of `fc6.weight` would miss every cache.
const TILE_ROWS: usize = 512;
const TILE_COLUMNS: usize = 16;

/// Moves a weight's values into this project's order.
pub(crate) fn reordered(values: Vec<f32>, order: Order) -> Vec<f32> {
    let Order::Reversed([places, inputs, outputs]) = order else {
        return values;
    };
    let mut reversed = vec![0.0; values.len()];
    let tile_inputs = (TILE_ROWS / places).max(1);
    for first_input in (0..inputs).step_by(tile_inputs) {
        for first_output in (0..outputs).step_by(TILE_COLUMNS) {
            for output in first_output..outputs.min(first_output + TILE_COLUMNS) {
                for input in first_input..inputs.min(first_input + tile_inputs) {
                    for place in 0..places {
                        reversed[(output * inputs + input) * places + place] =
                            values[(place * inputs + input) * outputs + output];
                    }
                }
            }
        }
    }
    reversed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every value is its own index, so that it can be found again.
    fn numbered(extents: [usize; 3]) -> Vec<f32> {
        (0_u16..extents.iter().product::<usize>().try_into().unwrap()).map(f32::from).collect()
    }

    proptest! {
        #[test]
        fn values_are_moved_one_to_one(
            places in 1..10_usize, inputs in 1..30_usize, outputs in 1..40_usize,
        ) {
            let extents = [places, inputs, outputs];
            let values = numbered(extents);
            let moved = reordered(values.clone(), Order::Reversed(extents));
            let mut sorted = moved.clone();
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(&sorted, &values, "each value lands exactly once");
            let back = reordered(moved, Order::Reversed([outputs, inputs, places]));
            prop_assert_eq!(back, values, "and finds its way back");
        }
    }

    #[test]
    fn kernels_become_out_in_row_column() {
        let (rows, columns, inputs, outputs) = (3, 2, 600, 5);
        let values = numbered([rows * columns, inputs, outputs]);
        let moved = reordered(values.clone(), Order::Reversed([rows * columns, inputs, outputs]));
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            for (input, output) in (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
                let here = ((output * inputs + input) * rows + row) * columns + column;
                let there = ((row * columns + column) * inputs + input) * outputs + output;
                assert_eq!(moved[here].to_bits(), values[there].to_bits());
            }
        }
    }

    #[test]
    fn own_order_is_kept() {
        let extents = [4, 3, 2];
        assert_eq!(Axes::ChannelsFirst.order(extents), Order::Kept);
        assert_eq!(reordered(numbered(extents), Order::Kept), numbered(extents));
    }
}
