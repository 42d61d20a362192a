//! Python's pickle machine with its hands tied. A pickle is a program that looks names up and calls them; here no name is
//! looked up and nothing is called. A call leaves an object that says what would have been called, except for the few
//! functions that make state dicts, which `names` lists.

mod calls;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use super::super::entry::damaged;
use super::names::{Known, known};
use super::object::{Made, Met, Object, Pickle, Value};

/// Longest text that is kept; names of tensors are shorter.
const MAX_TEXT: u64 = 1 << 14;
/// Most objects, values on the stack, marks on it, and objects that can be recalled.
const MAX_OBJECTS: usize = 1 << 22;
/// Most values that objects hold.
const MAX_HELD: usize = 1 << 23;
/// Longest name that is looked up, and all of them together, bytes: two texts that stand in the file once may make many.
const MAX_NAME: usize = 1 << 10;
const MAX_NAMES: usize = 1 << 24;

type Result<T> = std::result::Result<T, String>;

/// Reads one pickle, up to its end. `script` says that it is TorchScript's, whose classes lie in the file itself.
///
/// # Errors
/// It is cut short, no pickle, or so large that no state dict is; the sentence follows the file's name.
pub(super) fn load(input: &mut impl BufRead, script: bool) -> Result<Pickle> {
    let mut machine = Machine {
        input,
        script,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        objects: Vec::new(),
        held: 0,
        named: 0,
        met: Met::default(),
    };
    let root = machine.run()?;
    Ok(Pickle { objects: machine.objects, root, met: machine.met })
}

struct Machine<'a, R> {
    input: &'a mut R,
    script: bool,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    /// By number. A map, because a file chooses the numbers: a large one must not take memory for those before it.
    memo: BTreeMap<u64, Value>,
    objects: Vec<Object>,
    held: usize,
    /// Bytes of all names.
    named: usize,
    met: Met,
}

fn broken(detail: &str) -> String {
    damaged(&format!("its pickle {detail}"))
}

fn ended() -> String {
    broken("has no end")
}

impl<R: BufRead> Machine<'_, R> {
    fn run(&mut self) -> Result<Value> {
        loop {
            let op = self.bytes::<1>()?[0];
            match op {
                b'.' => return self.pop(),
                b'(' => self.mark()?,
                b'0' => self.drop_top()?,
                b'1' => drop(self.pop_mark()?),
                b'2' => self.push(*self.stack.last().ok_or_else(|| broken("copies nothing"))?)?,
                // Numbers and such.
                b'N' | 0x88 | 0x89 | 0x97 => self.push(Value::Plain)?,
                b'F' => drop(self.line()?.map(|_| self.push(Value::Plain)).transpose()?),
                b'G' => drop((self.bytes::<8>()?, self.push(Value::Plain)?)),
                b'I' | b'L' => self.number_line()?,
                b'J' => self.bytes().map(i32::from_le_bytes).and_then(|n| self.push(Value::Int(n.into())))?,
                b'K' => self.number(1).and_then(|n| self.push_int(n))?,
                b'M' => self.number(2).and_then(|n| self.push_int(n))?,
                0x8a => self.number(1).and_then(|n| self.long(n))?,
                0x8b => self.number(4).and_then(|n| self.long(n))?,
                // Texts and bytes.
                b'U' | 0x8c => self.number(1).and_then(|n| self.text(n))?,
                b'T' | b'X' => self.number(4).and_then(|n| self.text(n))?,
                0x8d => self.number(8).and_then(|n| self.text(n))?,
                b'S' | b'V' => self.text_line()?,
                b'C' => self.number(1).and_then(|n| self.skip(n))?,
                b'B' => self.number(4).and_then(|n| self.skip(n))?,
                0x8e | 0x96 => self.number(8).and_then(|n| self.skip(n))?,
                // Containers.
                b')' => self.make(Object::Tuple(Vec::new()))?,
                b't' => self.pop_mark().and_then(|items| self.tuple(items))?,
                0x85..=0x87 => self.top(usize::from(op - 0x84)).and_then(|items| self.tuple(items))?,
                b']' | 0x8f => self.make(Object::List(0, Vec::new()))?,
                b'l' | 0x91 => {
                    let items = self.pop_mark()?;
                    self.make(Object::List(0, Vec::new()))?;
                    self.append(&items)?;
                }
                b'}' => self.make(Object::Dict(Vec::new()))?,
                b'd' => {
                    let items = self.pop_mark()?;
                    self.make(Object::Dict(Vec::new()))?;
                    self.set(&items)?;
                }
                b'a' => self.top(1).and_then(|items| self.append(&items))?,
                b'e' | 0x90 => self.pop_mark().and_then(|items| self.append(&items))?,
                b's' => self.top(2).and_then(|items| self.set(&items))?,
                b'u' => self.pop_mark().and_then(|items| self.set(&items))?,
                // What was made before.
                b'p' => self.line_index().and_then(|at| self.remember(at))?,
                b'q' => self.number(1).and_then(|at| self.remember(at))?,
                b'r' => self.number(4).and_then(|at| self.remember(at))?,
                0x94 => self.remember(self.memo.len() as u64)?,
                b'g' => self.line_index().and_then(|at| self.recall(at))?,
                b'h' => self.number(1).and_then(|at| self.recall(at))?,
                b'j' => self.number(4).and_then(|at| self.recall(at))?,
                // Names and calls.
                b'c' => self.global()?,
                0x93 => self.stack_global()?,
                0x82..=0x84 => {
                    self.number(1 << (op - 0x82)).and_then(|n| self.name(format!("copyreg.extension.{n}")))?;
                }
                b'R' | 0x81 => self.reduce()?,
                0x92 => self.drop_top().and_then(|()| self.reduce())?,
                b'i' => {
                    self.global()?;
                    let class = self.pop()?;
                    let items = self.pop_mark()?;
                    self.tuple(items)?;
                    let with = self.pop()?;
                    self.call(class, with, 0)?;
                }
                b'o' => {
                    let mut items = self.pop_mark()?;
                    if items.is_empty() {
                        return Err(broken("makes an object of no class"));
                    }
                    let class = items.remove(0);
                    self.tuple(items)?;
                    let with = self.pop()?;
                    self.call(class, with, 0)?;
                }
                b'b' => self.build()?,
                b'Q' => self.persistent()?,
                b'P' => return Err(broken("keeps its tensors elsewhere")),
                0x80 => drop(self.bytes::<1>()?),
                // A frame is a hint only: its operations follow.
                0x95 => drop(self.bytes::<8>()?),
                0x98 => {}
                op => return Err(broken(&format!("has the unknown operation {op:#04x}"))),
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|_| ended())?;
        Ok(bytes)
    }

    /// A little-endian number of `bytes` bytes.
    fn number(&mut self, bytes: usize) -> Result<u64> {
        let mut all = [0; 8];
        self.input.read_exact(&mut all[..bytes]).map_err(|_| ended())?;
        Ok(u64::from_le_bytes(all))
    }

    /// Passes over bytes; their value is of no use.
    fn skip(&mut self, size: u64) -> Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(size), &mut io::sink()).map_err(|_| ended())?;
        if skipped == size { self.push(Value::Plain) } else { Err(ended()) }
    }

    fn text(&mut self, size: u64) -> Result<()> {
        if size > MAX_TEXT {
            return self.skip(size);
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(size).read_to_end(&mut bytes).map_err(|_| ended())?;
        if (bytes.len() as u64) < size {
            return Err(ended());
        }
        self.make(Object::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A whole number of `size` bytes with a sign.
    fn long(&mut self, size: u64) -> Result<()> {
        if size > 8 {
            return self.skip(size);
        }
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..usize::try_from(size).expect("at most eight")];
        self.input.read_exact(bytes).map_err(|_| ended())?;
        let fill = if bytes.last().is_some_and(|&high| high >= 0x80) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)))
    }

    /// A line without its end; `None` if it is too long to be of use.
    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let mut long = false;
        loop {
            line.clear();
            let read = self.input.by_ref().take(MAX_TEXT).read_until(b'\n', &mut line).map_err(|_| ended())?;
            match line.pop() {
                Some(b'\n') if long => return Ok(None),
                Some(b'\n') => return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())),
                _ if (read as u64) < MAX_TEXT => return Err(ended()),
                _ => long = true,
            }
        }
    }

    fn line_index(&mut self) -> Result<u64> {
        let line = self.line()?.unwrap_or_default();
        line.parse().map_err(|_| broken("has a broken index"))
    }

    fn number_line(&mut self) -> Result<()> {
        let line = self.line()?.unwrap_or_default();
        let number = line.trim_end_matches('L').parse();
        self.push(number.map_or(Value::Plain, Value::Int))
    }

    fn text_line(&mut self) -> Result<()> {
        match self.line()? {
            Some(line) => self.make(Object::Text(line.trim_matches(['\'', '"']).to_owned())),
            None => self.push(Value::Plain),
        }
    }

    fn too_much() -> String {
        "is damaged or holds far more than a state dict; save one with torch.save(network.state_dict(), ...)".to_owned()
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.stack.push(value);
        if self.stack.len() > MAX_OBJECTS { Err(Self::too_much()) } else { Ok(()) }
    }

    fn mark(&mut self) -> Result<()> {
        self.marks.push(self.stack.len());
        if self.marks.len() > MAX_OBJECTS { Err(Self::too_much()) } else { Ok(()) }
    }

    fn push_int(&mut self, n: u64) -> Result<()> {
        self.push(i64::try_from(n).map_or(Value::Plain, Value::Int))
    }

    fn make(&mut self, object: Object) -> Result<()> {
        if self.objects.len() == MAX_OBJECTS {
            return Err(Self::too_much());
        }
        self.objects.push(object);
        self.push(Value::Object(self.objects.len() - 1))
    }

    /// Counts values that objects keep.
    fn hold(&mut self, values: usize) -> Result<()> {
        self.held += values;
        if self.held > MAX_HELD { Err(Self::too_much()) } else { Ok(()) }
    }

    fn pop(&mut self) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = if self.stack.len() > floor { self.stack.pop() } else { None };
        top.ok_or_else(|| broken("takes what it did not make"))
    }

    /// Removes the top of the stack, which is a mark if there is nothing above one.
    fn drop_top(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// The topmost values, in order.
    fn top(&mut self, count: usize) -> Result<Vec<Value>> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| broken("lacks a mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, items: Vec<Value>) -> Result<()> {
        self.hold(items.len())?;
        self.make(Object::Tuple(items))
    }

    fn peek(&mut self) -> Result<&mut Object> {
        match self.stack.last() {
            Some(&Value::Object(at)) => Ok(&mut self.objects[at]),
            _ => Err(broken("fills what is no object")),
        }
    }

    fn append(&mut self, items: &[Value]) -> Result<()> {
        self.hold(items.iter().filter(|item| matches!(item, Value::Object(_))).count())?;
        if let Object::List(length, kept) = self.peek()? {
            let placed = items.iter().enumerate().filter(|(_, item)| matches!(item, Value::Object(_)));
            kept.extend(placed.map(|(i, &item)| (*length + i, item)));
            *length += items.len();
        }
        Ok(())
    }

    fn set(&mut self, items: &[Value]) -> Result<()> {
        let pairs = items.as_chunks::<2>().0.iter().filter(|[_, value]| matches!(value, Value::Object(_)));
        let pairs: Vec<(Value, Value)> = pairs.map(|&[key, value]| (key, value)).collect();
        self.hold(pairs.len())?;
        if let Object::Dict(kept) | Object::Made(Made { items: kept, .. }) = self.peek()? {
            kept.extend(pairs);
        }
        Ok(())
    }

    fn remember(&mut self, at: u64) -> Result<()> {
        let top = *self.stack.last().ok_or_else(|| broken("remembers nothing"))?;
        self.memo.insert(at, top);
        if self.memo.len() > MAX_OBJECTS { Err(Self::too_much()) } else { Ok(()) }
    }

    fn recall(&mut self, at: u64) -> Result<()> {
        let value = self.memo.get(&at).ok_or_else(|| broken("recalls what it did not make"))?;
        self.push(*value)
    }

    /// A name, which is not looked up.
    fn name(&mut self, name: String) -> Result<()> {
        if name.len() > MAX_NAME {
            return Err(broken("looks up what is no name"));
        }
        self.named += name.len();
        if self.named > MAX_NAMES {
            return Err(Self::too_much());
        }
        match known(&name) {
            Some(Known::Data) => drop(self.met.passed.insert(name.clone())),
            Some(_) => {}
            None if self.script && name.starts_with("__torch__.") => {}
            None => drop(self.met.foreign.insert(name.clone())),
        }
        self.make(Object::Name(name))
    }

    fn global(&mut self) -> Result<()> {
        let (module, name) = (self.line()?.unwrap_or_default(), self.line()?.unwrap_or_default());
        self.name(format!("{module}.{name}"))
    }

    fn stack_global(&mut self) -> Result<()> {
        let [module, name] = self.top(2)?[..] else { return Err(ended()) };
        let (Some(module), Some(name)) = (self.str(module), self.str(name)) else {
            return Err(broken("looks up what is no name"));
        };
        self.name(format!("{module}.{name}"))
    }

    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    fn str(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    fn items(&self, value: Value) -> &[Value] {
        match self.object(value) {
            Some(Object::Tuple(items)) => items,
            _ => &[],
        }
    }

    fn known(&self, value: Value) -> Option<Known> {
        match self.object(value)? {
            Object::Name(name) => known(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
