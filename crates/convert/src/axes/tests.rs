//! Every value is its own index, so that it can be found again.

use proptest::prelude::*;

use super::*;

fn numbered(count: usize) -> Vec<f32> {
    (0..u16::try_from(count).unwrap()).map(f32::from).collect()
}

fn every_axes() -> impl Strategy<Value = Axes> {
    (0..3_usize, any::<[bool; 3]>()).prop_map(|(kernel, [mirrored, in_out, channels_last])| Axes {
        kernel: [
            KernelAxes::RowColumnInOut,
            KernelAxes::OutInRowColumn,
            KernelAxes::OutInColumnRow,
        ][kernel],
        kernel_sense: if mirrored { KernelSense::Convolution } else { KernelSense::Correlation },
        dense: if in_out { DenseAxes::InOut } else { DenseAxes::OutIn },
        flattening: if channels_last {
            Flattening::RowColumnChannel
        } else {
            Flattening::ChannelRowColumn
        },
    })
}

proptest! {
    #[test]
    fn values_are_moved_one_to_one(
        axes in every_axes(),
        rows in 1..4_usize, columns in 1..4_usize, inputs in 1..30_usize, outputs in 1..40_usize,
        cut in 0..40_usize,
    ) {
        let extents = Kernel { rows, columns, inputs, outputs };
        let values = numbered(extents.values().unwrap());
        for order in [axes.kernel_order(extents), axes.dense_order(extents)] {
            let whole = order.moved(&values, 0..outputs);
            let mut sorted = whole.to_vec();
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(&sorted, &values, "each value lands exactly once");
            let cut = cut.min(outputs);
            let parts = [order.moved(&values, 0..cut), order.moved(&values, cut..outputs)];
            prop_assert_eq!(parts.concat(), &whole[..], "in parts as in one");
            prop_assert_eq!(order.placed(&whole), values.clone(), "and back");
        }
    }
}

/// Holds an order against a formula for the place of (output, input, row, column).
fn stands_at(order: Order, place: impl Fn([usize; 4]) -> usize) {
    let Kernel { rows, columns, inputs, outputs } = order.extents;
    let values = numbered(order.extents.values().unwrap());
    let moved = order.moved(&values, 0..outputs);
    let mut here = 0;
    for output in 0..outputs {
        for input in 0..inputs {
            for row in 0..rows {
                for column in 0..columns {
                    let there = place([output, input, row, column]);
                    assert_eq!(moved[here].to_bits(), values[there].to_bits());
                    here += 1;
                }
            }
        }
    }
}

const KERNEL: Kernel = Kernel { rows: 3, columns: 2, inputs: 600, outputs: 5 };

#[test]
fn kernels_are_read_in_their_axes() {
    let Kernel { rows, columns, inputs, outputs } = KERNEL;
    stands_at(Axes::KERAS.kernel_order(KERNEL), |[o, i, r, c]| {
        ((r * columns + c) * inputs + i) * outputs + o
    });
    stands_at(Axes::CHANNELS_FIRST.kernel_order(KERNEL), |[o, i, r, c]| {
        ((o * inputs + i) * rows + r) * columns + c
    });
    stands_at(Axes::MATLAB.kernel_order(KERNEL), |[o, i, r, c]| {
        ((o * inputs + i) * columns + c) * rows + r
    });
}

#[test]
fn mirrored_kernels_are_turned() {
    let Kernel { rows, columns, inputs, .. } = KERNEL;
    let axes = Axes { kernel_sense: KernelSense::Convolution, ..Axes::CHANNELS_FIRST };
    stands_at(axes.kernel_order(KERNEL), |[o, i, r, c]| {
        ((o * inputs + i) * rows + rows - 1 - r) * columns + columns - 1 - c
    });
    stands_at(axes.dense_order(KERNEL), |[o, i, r, c]| ((o * inputs + i) * rows + r) * columns + c);
}

#[test]
fn dense_weights_are_read_in_their_flattening() {
    let Kernel { rows, columns, inputs, outputs } = KERNEL;
    stands_at(Axes::KERAS.dense_order(KERNEL), |[o, i, r, c]| {
        ((r * columns + c) * inputs + i) * outputs + o
    });
    let theano = Axes { dense: DenseAxes::InOut, ..Axes::CHANNELS_FIRST };
    stands_at(theano.dense_order(KERNEL), |[o, i, r, c]| {
        ((i * rows + r) * columns + c) * outputs + o
    });
}
