//! Pickles, interpreted into [`Objects`]: protocols 2 to 5, as far as PyTorch and TorchScript write
//! them.
//!
//! # Source
//!
//! Python 3.11, `Lib/pickle.py` and `Lib/pickletools.py`.

use std::collections::HashMap;

use super::objects::{Node, Objects, Refusal, Value};

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) objects: Objects,
    /// What was pickled.
    pub(super) root: Value,
    /// How many bytes it took.
    pub(super) length: usize,
}

/// How many values may be on the stack, or in the memo, at a time.
const MAX_VALUES: usize = 1 << 18;

const CUT_SHORT: Refusal = Refusal::Damaged("its pickle is cut short");
const EMPTY_STACK: Refusal = Refusal::Damaged("its pickle takes from an empty stack");

/// Reads the pickle at the beginning of some bytes.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, Refusal> {
    let mut machine = Machine {
        bytes,
        place: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Objects::default(),
    };
    while machine.step()? == Progress::GoesOn {
        let values = machine.stack.len().max(machine.memo.len()).max(machine.marks.len());
        if machine.objects.is_full() || MAX_VALUES < values {
            return Err(Refusal::Damaged("its pickle has too many parts"));
        }
    }
    let root = machine.pop()?;
    machine.objects.check_classes()?;
    Ok(Pickle { objects: machine.objects, root, length: machine.place })
}

/// Whether a pickle has come to its end.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    GoesOn,
    Stopped,
}

/// The machine that a pickle is a program for.
struct Machine<'a> {
    bytes: &'a [u8],
    place: usize,
    stack: Vec<Value>,
    /// Heights of the stack at which marks stand.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    objects: Objects,
}

impl Machine<'_> {
    fn step(&mut self) -> Result<Progress, Refusal> {
        match self.byte()? {
            b'.' => return Ok(Progress::Stopped),
            0x80 => drop(self.take(1)?),
            // A frame's length: nothing depends on it.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.take_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            code @ (b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G') => self.number(code)?,
            code @ (b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e) => self.string(code)?,
            code @ (b')' | 0x85..=0x87 | b't' | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91) => {
                self.collection(code)?;
            }
            code @ (b'a' | b'e' | b's' | b'u' | 0x90) => self.addition(code)?,
            code @ (b'q' | b'r' | 0x94 | b'h' | b'j') => self.remember(code)?,
            code @ (b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q') => self.object(code)?,
            _ => return Err(Refusal::Damaged("its pickle has an instruction that is not known")),
        }
        Ok(Progress::GoesOn)
    }

    fn number(&mut self, code: u8) -> Result<(), Refusal> {
        let value = match code {
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => Value::Int(self.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            b'G' => {
                self.take(8)?;
                Value::Opaque
            }
            _ => {
                let length =
                    if code == 0x8a { u64::from(self.byte()?) } else { self.length::<4>()? };
                match self.take(length)? {
                    // Little-endian, in two's complement.
                    bytes if bytes.len() <= 8 => {
                        let is_negative = bytes.last().is_some_and(|&last| 0x80 <= last);
                        let mut wide = if is_negative { [0xff; 8] } else { [0; 8] };
                        wide[..bytes.len()].copy_from_slice(bytes);
                        Value::Int(i64::from_le_bytes(wide))
                    }
                    _ => Value::Opaque,
                }
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn string(&mut self, code: u8) -> Result<(), Refusal> {
        let length = match code {
            0x8c | b'U' | b'C' => u64::from(self.byte()?),
            0x8d | 0x8e => self.length::<8>()?,
            _ => self.length::<4>()?,
        };
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        let value = self.objects.add(Node::Text(text));
        self.stack.push(value);
        Ok(())
    }

    fn collection(&mut self, code: u8) -> Result<(), Refusal> {
        let node = match code {
            b')' => Node::Tuple(Vec::new()),
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or(EMPTY_STACK)?;
                self.check_above_mark(start)?;
                Node::Tuple(self.stack.split_off(start))
            }
            b't' => Node::Tuple(self.take_to_mark()?),
            b']' | 0x8f => Node::List(Vec::new()),
            b'l' | 0x91 => Node::List(self.take_to_mark()?),
            b'}' => Node::Dict(Vec::new()),
            _ => Node::Dict(pairs(&self.take_to_mark()?)?),
        };
        let value = self.objects.add(node);
        self.stack.push(value);
        Ok(())
    }

    /// Puts values into the collection below them.
    fn addition(&mut self, code: u8) -> Result<(), Refusal> {
        let added = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.take_to_mark()?,
        };
        let target = self.top()?;
        match (self.objects.node_mut(target), code) {
            (Some(Node::List(items)), b'a' | b'e' | 0x90) => items.extend(added),
            (Some(Node::Dict(entries)), b's' | b'u') => entries.extend(pairs(&added)?),
            // A set or a subclass of a list, which no weights depend on.
            _ if target == Value::Opaque => {}
            (Some(Node::Instance { .. }), _) => {}
            _ => return Err(Refusal::Damaged("its pickle adds to what is no collection")),
        }
        Ok(())
    }

    fn remember(&mut self, code: u8) -> Result<(), Refusal> {
        let key = match code {
            b'q' | b'h' => u64::from(self.byte()?),
            b'r' | b'j' => self.length::<4>()?,
            _ => self.memo.len() as u64,
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&key).copied();
            self.stack
                .push(value.ok_or(Refusal::Damaged("its pickle recalls what it never kept"))?);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn object(&mut self, code: u8) -> Result<(), Refusal> {
        let value = match code {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.objects.named(&module, &name)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.objects.imported(module, name)?
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.objects.called(function, arguments)?
            }
            b'Q' => {
                let id = self.pop()?;
                self.objects.storage(id)?
            }
            b'b' => {
                let (state, target) = (self.pop()?, self.top()?);
                if let Some(Node::Instance { state: attributes, .. }) =
                    self.objects.node_mut(target)
                {
                    *attributes = state;
                }
                return Ok(());
            }
            _ => {
                if code == 0x92 {
                    // Arguments by name.
                    self.pop()?;
                }
                let (_, class) = (self.pop()?, self.pop()?);
                self.objects.instance(class)?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let (array, _) = rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.place += N;
        Ok(*array)
    }

    /// A length of so many bytes.
    fn length<const N: usize>(&mut self) -> Result<u64, Refusal> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u64::from_le_bytes(wide))
    }

    fn take(&mut self, length: u64) -> Result<&[u8], Refusal> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let length = usize::try_from(length).map_err(|_| CUT_SHORT)?;
        let taken = rest.get(..length).ok_or(CUT_SHORT)?;
        self.place += length;
        Ok(taken)
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Result<String, Refusal> {
        let rest = self.bytes.get(self.place..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(CUT_SHORT)?;
        self.place += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn pop(&mut self) -> Result<Value, Refusal> {
        let height = self.stack.len().checked_sub(1).ok_or(EMPTY_STACK)?;
        self.check_above_mark(height)?;
        self.stack.pop().ok_or(EMPTY_STACK)
    }

    fn top(&self) -> Result<Value, Refusal> {
        self.stack.last().copied().ok_or(EMPTY_STACK)
    }

    /// Everything above the last mark, which is taken away.
    fn take_to_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        let mark = self.marks.pop().ok_or(Refusal::Damaged("its pickle has no mark"))?;
        if self.stack.len() < mark {
            return Err(EMPTY_STACK);
        }
        Ok(self.stack.split_off(mark))
    }

    /// Refuses to take what lies below the last mark.
    fn check_above_mark(&self, height: usize) -> Result<(), Refusal> {
        if self.marks.last().is_some_and(|&mark| height < mark) {
            return Err(EMPTY_STACK);
        }
        Ok(())
    }
}

/// Keys and values in turn.
fn pairs(values: &[Value]) -> Result<Vec<(Value, Value)>, Refusal> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::Damaged("its pickle has a key without a value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> Refusal {
        read(bytes).map(|pickle| pickle.root).unwrap_err()
    }

    #[test]
    fn collections_are_read() {
        // pickle.dumps({"a": (1, -2, 300), "b": [None, True]}, 2)
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01J\xfe\xff\xff\xffM,\x01\x87q\x02\
                      X\x01\x00\x00\x00bq\x03]q\x04(N\x88eu.rest";
        let pickle = read(bytes).unwrap();
        assert_eq!(pickle.length, bytes.len() - 4);
        let numbers = pickle.objects.get(pickle.root, "a").unwrap();
        let expected = Node::Tuple(vec![Value::Int(1), Value::Int(-2), Value::Int(300)]);
        assert_eq!(pickle.objects.node(numbers), Some(&expected));
        let list = pickle.objects.get(pickle.root, "b").unwrap();
        let expected = Node::List(vec![Value::None, Value::Bool(true)]);
        assert_eq!(pickle.objects.node(list), Some(&expected));
    }

    #[test]
    fn long_integers_are_in_twos_complement() {
        let read = |bytes: &[u8]| read(bytes).unwrap().root;
        assert_eq!(read(b"\x8a\x01\xff."), Value::Int(-1));
        assert_eq!(read(b"\x8a\x02\xff\x00."), Value::Int(255));
        assert_eq!(read(b"\x8b\x00\x00\x00\x00."), Value::Int(0));
        assert_eq!(read(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), Value::Opaque);
    }

    #[test]
    fn functions_outside_the_list_are_refused_by_name() {
        let forbidden = |name: &str| Refusal::Forbidden(name.to_owned());
        assert_eq!(refused(b"cposix\nsystem\nU\x02ls\x85R."), forbidden("posix.system"));
        assert_eq!(refused(b"c__builtin__\neval\n)R."), forbidden("__builtin__.eval"));
        let by_stack = b"\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.";
        assert_eq!(refused(by_stack), forbidden("os.system"));
        assert_eq!(refused(b"csubprocess\nPopen\n)\x81."), forbidden("subprocess.Popen"));
        let hidden = b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN)NtR.";
        assert_eq!(refused(hidden), forbidden("os.system"));
    }

    #[test]
    fn classes_of_ones_own_are_read_if_they_are_modules() {
        let module = b"c__main__\nVGG\n)\x81}X\x08\x00\x00\x00_modulesNsb.";
        assert!(read(module).is_ok());
        let other = b"c__main__\nVGG\n)\x81}b.";
        assert_eq!(refused(other), Refusal::Forbidden("__main__.VGG".to_owned()));
    }

    #[test]
    fn nesting_is_no_danger() {
        let deep = [&b"N"[..], &b"\x85".repeat(200_000), b"."].concat();
        assert!(read(&deep).is_ok());
        // A list that contains itself.
        assert!(read(b"]q\x00h\x00a.").is_ok());
    }

    #[test]
    fn small_pickles_do_not_fill_the_memory() {
        for part in [&b"N"[..], b"(", b"]", b")", b"N\x94"] {
            assert!(matches!(read(&part.repeat(300_000)), Err(Refusal::Damaged(_))), "{part:?}");
        }
    }

    #[test]
    fn nonsense_is_damaged() {
        for bytes in [
            &b""[..],
            b".",
            b"0.",
            b"(0.",
            b"t.",
            b"K\x01\x87.",
            b"h\x05.",
            b"}K\x01s.",
            b"}(K\x01u.",
            b"NNa.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
            b"X\xff\xff\xff\xff.",
            b"cos",
            b"NR.",
            b"K\x01Q.",
            b"N\x81.",
            b"\xfe.",
        ] {
            assert!(matches!(read(bytes), Err(Refusal::Damaged(_))), "{bytes:?}");
        }
    }
}
