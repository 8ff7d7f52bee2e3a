//! Axis orders: the one place where a source's arrays are turned into this project's.

use std::borrow::Cow;
use std::ops::Range;

/// How a layer's arrays are laid out in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axes {
    /// The order of a kernel's axes.
    pub(crate) kernel: KernelAxes,
    /// Whether kernels are mirrored in rows and columns, as they are for a convolution proper.
    pub(crate) kernel_sense: KernelSense,
    /// The order of a dense weight's axes.
    pub(crate) dense: DenseAxes,
    /// The order in which `pool5` is flattened before the first dense layer.
    pub(crate) flattening: Flattening,
}

/// The order of a kernel's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelAxes {
    /// (row, column, in, out)
    RowColumnInOut,
    /// (out, in, row, column)
    OutInRowColumn,
    /// (out, in, column, row)
    OutInColumnRow,
}

/// Which way round a kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelSense {
    /// As it is laid over the image.
    Correlation,
    /// Mirrored in both directions.
    Convolution,
}

/// The order of a dense weight's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DenseAxes {
    /// (in, out)
    InOut,
    /// (out, in)
    OutIn,
}

/// The order in which a network flattens `pool5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flattening {
    /// (row, column, channel)
    RowColumnChannel,
    /// (channel, row, column)
    ChannelRowColumn,
}

/// The extents of a convolution's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// Where a weight's values stand in its source: `(output, input, row, column)` stands at the sum
/// of its indices times their strides. A dense layer behind `pool5` has pool5's rows and columns;
/// any other has one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) extents: Kernel,
    output_stride: usize,
    input_stride: usize,
    row_stride: usize,
    column_stride: usize,
    sense: KernelSense,
}

impl Axes {
    /// Keras on TensorFlow.
    pub(crate) const KERAS: Self = Self {
        kernel: KernelAxes::RowColumnInOut,
        kernel_sense: KernelSense::Correlation,
        dense: DenseAxes::InOut,
        flattening: Flattening::RowColumnChannel,
    };

    /// This project; Caffe, PyTorch, Torch7.
    pub(crate) const CHANNELS_FIRST: Self = Self {
        kernel: KernelAxes::OutInRowColumn,
        kernel_sense: KernelSense::Correlation,
        dense: DenseAxes::OutIn,
        flattening: Flattening::ChannelRowColumn,
    };

    /// MATLAB's (row, column, in, out) in column-major order, read from the last axis to the first.
    pub(crate) const MATLAB: Self =
        Self { kernel: KernelAxes::OutInColumnRow, ..Self::CHANNELS_FIRST };

    /// The extents of a kernel, if the shape is one.
    pub(crate) fn kernel(self, shape: &[usize]) -> Option<Kernel> {
        match (self.kernel, shape) {
            (KernelAxes::RowColumnInOut, &[rows, columns, inputs, outputs])
            | (KernelAxes::OutInRowColumn, &[outputs, inputs, rows, columns])
            | (KernelAxes::OutInColumnRow, &[outputs, inputs, columns, rows]) => {
                Some(Kernel { rows, columns, inputs, outputs })
            }
            _ => None,
        }
    }

    /// Features in and out of a dense weight, if the shape is one.
    pub(crate) fn dense(self, shape: &[usize]) -> Option<(usize, usize)> {
        match (self.dense, shape) {
            (DenseAxes::InOut, &[inputs, outputs]) | (DenseAxes::OutIn, &[outputs, inputs]) => {
                Some((inputs, outputs))
            }
            _ => None,
        }
    }

    /// Where the values of a kernel stand.
    pub(crate) fn kernel_order(self, extents: Kernel) -> Order {
        let Kernel { rows, columns, inputs, outputs } = extents;
        let (output_stride, input_stride, row_stride, column_stride) = match self.kernel {
            KernelAxes::RowColumnInOut => {
                (1, outputs, columns * inputs * outputs, inputs * outputs)
            }
            KernelAxes::OutInRowColumn => (inputs * rows * columns, rows * columns, columns, 1),
            KernelAxes::OutInColumnRow => (inputs * rows * columns, rows * columns, 1, rows),
        };
        let sense = self.kernel_sense;
        Order { extents, output_stride, input_stride, row_stride, column_stride, sense }
    }

    /// Where the values of a dense weight stand, whose inputs are `extents` flattened.
    pub(crate) fn dense_order(self, extents: Kernel) -> Order {
        let Kernel { rows, columns, inputs, outputs } = extents;
        let (output_stride, feature_stride) = match self.dense {
            DenseAxes::InOut => (1, outputs),
            DenseAxes::OutIn => (rows * columns * inputs, 1),
        };
        let (input, row, column) = match self.flattening {
            Flattening::RowColumnChannel => (1, columns * inputs, inputs),
            Flattening::ChannelRowColumn => (rows * columns, columns, 1),
        };
        Order {
            extents,
            output_stride,
            input_stride: input * feature_stride,
            row_stride: row * feature_stride,
            column_stride: column * feature_stride,
            sense: KernelSense::Correlation,
        }
    }
}

impl Kernel {
    /// How many values it has, if that can be counted.
    pub(crate) fn values(self) -> Option<usize> {
        [self.columns, self.inputs, self.outputs]
            .into_iter()
            .try_fold(self.rows, usize::checked_mul)
    }
}

/// Features that are moved together: what they touch on both sides fits into 64 KiB, where whole
/// columns of `fc6.weight` would miss every cache.
const TILE_FEATURES: usize = 512;
const TILE_OUTPUTS: usize = 16;

impl Order {
    /// A bias: one value for each output.
    pub(crate) fn bias(outputs: usize) -> Self {
        let extents = Kernel { rows: 1, columns: 1, inputs: 1, outputs };
        Axes::CHANNELS_FIRST.kernel_order(extents)
    }

    /// The weights of some outputs, as (output, input, row, column).
    pub(crate) fn moved<'a>(&self, values: &'a [f32], outputs: Range<usize>) -> Cow<'a, [f32]> {
        let Kernel { rows, columns, inputs, .. } = self.extents;
        let features = inputs * rows * columns;
        let is_kept = *self == Axes::CHANNELS_FIRST.kernel_order(self.extents);
        if is_kept {
            return Cow::Borrowed(&values[outputs.start * features..outputs.end * features]);
        }
        let mut moved = vec![0.0; outputs.len() * features];
        self.for_each_kernel(outputs, |here, there| {
            let kernel = &mut moved[here..here + rows * columns];
            self.for_each_place(|here, place| kernel[here] = values[there + place]);
        });
        Cow::Owned(moved)
    }

    /// The inverse of [`Order::moved`]: all weights, given as (output, input, row, column), where
    /// the source keeps them.
    pub(crate) fn placed(&self, values: &[f32]) -> Vec<f32> {
        let Kernel { rows, columns, outputs, .. } = self.extents;
        let mut placed = vec![0.0; values.len()];
        self.for_each_kernel(0..outputs, |here, there| {
            let kernel = &values[here..here + rows * columns];
            self.for_each_place(|here, place| placed[there + place] = kernel[here]);
        });
        placed
    }

    /// Visits every kernel of some outputs, tile by tile: where it begins here, counted from the
    /// first of these outputs, and where it begins in the source.
    fn for_each_kernel(&self, outputs: Range<usize>, mut visit: impl FnMut(usize, usize)) {
        let Kernel { rows, columns, inputs, .. } = self.extents;
        let places = rows * columns;
        let tile_inputs = (TILE_FEATURES / places).max(1);
        for first_output in outputs.clone().step_by(TILE_OUTPUTS) {
            for first_input in (0..inputs).step_by(tile_inputs) {
                for output in first_output..outputs.end.min(first_output + TILE_OUTPUTS) {
                    for input in first_input..inputs.min(first_input + tile_inputs) {
                        let here = ((output - outputs.start) * inputs + input) * places;
                        visit(here, output * self.output_stride + input * self.input_stride);
                    }
                }
            }
        }
    }

    /// Visits the rows and columns of one kernel: the place here and the one in the source.
    fn for_each_place(&self, mut visit: impl FnMut(usize, usize)) {
        let Kernel { rows, columns, .. } = self.extents;
        for row in 0..rows {
            for column in 0..columns {
                let here = row * columns + column;
                let (row, column) = match self.sense {
                    KernelSense::Correlation => (row, column),
                    KernelSense::Convolution => (rows - 1 - row, columns - 1 - column),
                };
                visit(here, row * self.row_stride + column * self.column_stride);
            }
        }
    }
}

#[cfg(test)]
mod tests;
