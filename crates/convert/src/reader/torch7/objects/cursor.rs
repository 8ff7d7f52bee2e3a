//! Numbers and strings one after the other, in binary or as text.

use super::CUT_SHORT;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Little-endian; an `int` has four bytes, a `long` eight.
    Binary,
    /// In decimal digits, with blanks or the end of a line between them.
    Ascii,
}

/// A place in a file.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    place: usize,
    form: Form,
}

impl Form {
    /// Text begins with a digit, a binary `int` with a small number.
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(byte) if byte.is_ascii_digit() => Self::Ascii,
            _ => Self::Binary,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], form: Form) -> Self {
        Self { bytes, place: 0, form }
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn int(&mut self) -> Result<i64, &'static str> {
        match self.form {
            Form::Binary => Ok(i32::from_le_bytes(self.array()?).into()),
            Form::Ascii => self.parsed(),
        }
    }

    pub(super) fn long(&mut self) -> Result<i64, &'static str> {
        match self.form {
            Form::Binary => Ok(i64::from_le_bytes(self.array()?)),
            Form::Ascii => self.parsed(),
        }
    }

    pub(super) fn double(&mut self) -> Result<f64, &'static str> {
        match self.form {
            Form::Binary => Ok(f64::from_le_bytes(self.array()?)),
            Form::Ascii => self.parsed(),
        }
    }

    /// A number in text, to the nearest f32.
    pub(super) fn float(&mut self) -> Result<f32, &'static str> {
        self.parsed()
    }

    /// A length and so many characters.
    pub(super) fn text(&mut self) -> Result<String, &'static str> {
        let length = usize::try_from(self.int()?).map_err(|_| "a text in it has no length")?;
        if self.form == Form::Ascii {
            // The end of the length's line.
            self.take(1)?;
        }
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over numbers of so many bytes each.
    pub(super) fn skip_numbers(&mut self, count: u64, size: usize) -> Result<(), &'static str> {
        let count = usize::try_from(count).map_err(|_| CUT_SHORT)?;
        match self.form {
            Form::Binary => {
                let bytes = count.checked_mul(size).ok_or(CUT_SHORT)?;
                self.take(bytes).map(drop)
            }
            Form::Ascii => (0..count).try_for_each(|_| self.word().map(drop)),
        }
    }

    /// The next word of text.
    pub(super) fn word(&mut self) -> Result<&'a str, &'static str> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace()).ok_or(CUT_SHORT)?;
        let word = &rest[start..];
        let length = word.iter().position(u8::is_ascii_whitespace).unwrap_or(word.len());
        self.place += start + length;
        str::from_utf8(&word[..length]).map_err(|_| "a number in it is none")
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, &'static str> {
        self.word()?.parse().map_err(|_| "a number in it is none")
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let taken = self.take(N)?;
        Ok(*taken.first_chunk().expect("as many bytes as were taken"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(CUT_SHORT)?;
        self.place += length;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same() {
        let binary = [
            &7_i32.to_le_bytes()[..],
            &(-2_i64).to_le_bytes(),
            &0.5_f64.to_le_bytes(),
            &3_i32.to_le_bytes(),
            b"V 1",
        ]
        .concat();
        for (bytes, form) in [(&binary[..], Form::Binary), (b"7\n-2\n0.5\n3\nV 1\n", Form::Ascii)] {
            let mut cursor = Cursor::new(bytes, form);
            assert_eq!(cursor.int(), Ok(7));
            assert_eq!(cursor.long(), Ok(-2));
            assert_eq!(cursor.double(), Ok(0.5));
            assert_eq!(cursor.text().as_deref(), Ok("V 1"));
            assert_eq!(cursor.int(), Err(CUT_SHORT));
        }
    }

    #[test]
    fn claims_are_not_believed() {
        let huge = [&i32::MAX.to_le_bytes()[..], b"abc"].concat();
        assert_eq!(Cursor::new(&huge, Form::Binary).text(), Err(CUT_SHORT));
        let mut cursor = Cursor::new(b"1 2 3", Form::Ascii);
        assert_eq!(cursor.skip_numbers(4, 8), Err(CUT_SHORT));
        let mut cursor = Cursor::new(b"1234", Form::Binary);
        assert_eq!(cursor.skip_numbers(u64::MAX, 8), Err(CUT_SHORT));
    }
}
