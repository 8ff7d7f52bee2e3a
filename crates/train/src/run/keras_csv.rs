//! `metrics.csv` of a fold, as Keras's `CSVLogger` writes it.

use std::fmt::Write;

use super::EpochRecord;

/// A fold's epochs as a table.
///
/// Epochs are counted from 0 and on through the stages, as `fit(initial_epoch=...)` does for stages that are
/// fits one after another; where `ReduceLROnPlateau` watches, Keras has the rate in the table too.
///
/// # Source
///
/// Keras 3.15, `src/callbacks/csv_logger.py`: the keys of `logs` sorted behind `epoch`, in Python's `excel`
/// dialect, whose lines end in `\r\n`; numbers as Python's `repr` has them.
pub(crate) fn keras_csv(epochs: &[EpochRecord]) -> String {
    let mut csv = "epoch,accuracy,learning_rate,loss,val_accuracy,val_loss\r\n".to_owned();
    for (place, epoch) in epochs.iter().enumerate() {
        let values = [
            epoch.train_accuracy,
            epoch.learning_rate,
            epoch.train_loss,
            epoch.validation_accuracy,
            epoch.validation_loss,
        ];
        let values = values.map(repr).join(",");
        write!(csv, "{place},{values}\r\n").expect("a string takes all that is written");
    }
    csv
}

/// A number as Python's `repr` has it: the fewest digits that give it back, with an exponent below
/// 1e-4 and from 1e16 on.
fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("it has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    if (-4..16).contains(&exponent) || value == 0.0 {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::{super::any_epoch, *};

    #[test]
    fn the_table_is_the_loggers() {
        // python3: csv.DictWriter(file, ["epoch"] + sorted(logs)), as CSVLogger has it, of these logs.
        let epoch = |stage: &str, learning_rate| EpochRecord {
            train_loss: 2.5,
            validation_loss: 3.0,
            learning_rate,
            ..any_epoch(0, stage, 1)
        };
        assert_eq!(
            keras_csv(&[epoch("head", 1e-4), epoch("fine-tune", 1e-5)]),
            "epoch,accuracy,learning_rate,loss,val_accuracy,val_loss\r\n\
             0,0.5,0.0001,2.5,0.25,3.0\r\n\
             1,0.5,1e-05,2.5,0.25,3.0\r\n"
        );
    }

    #[test]
    fn numbers_are_as_python_writes_them() {
        // python3 -c 'print([repr(x) for x in (...)])'
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (9.999e-5, "9.999e-05"),
            (1e-7, "1e-07"),
            (1.5e-10, "1.5e-10"),
            (2.25e-100, "2.25e-100"),
            (123_456_789.0, "123456789.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e22, "1.25e+22"),
            (-1e-5, "-1e-05"),
            (0.333_333_333_333_333_3, "0.3333333333333333"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(repr(value), expected);
        }
    }
}
