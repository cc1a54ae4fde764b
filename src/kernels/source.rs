//! Builds a WGSL module from the source of a kernel, and finds the line and column that an error message reports.

use super::signature::{Names, Param, Type, computed};
use crate::base::dtype::{DType, NumberKind};
use crate::base::platform::CAN_WAIT;
use naga::Span;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::fmt::Write;
use std::ops::Range;

/// The maximum size of a module's source in bytes. It bounds the nesting in the parser that [`MOST_LEVELS`] does not
/// count: long sums and long chains of `else if` nest too.
const MOST_BYTES: usize = 1 << 16;

/// The maximum depth of nested brackets, and the maximum number of consecutive operators. A comparison `a < b` counts
/// as an open bracket until a `>` follows. Ordinary sources have far fewer.
const MOST_LEVELS: usize = 1 << 10;

/// The maximum number of characters of operators (dots and opening brackets among them) in a statement, and the maximum
/// number of branches with `else`, in a web page. They nest too, and a page's stack is small: a sum of 6,000 terms used
/// all of it in node 20, one of 4,000 terms did not.
const MOST_IN_A_PAGE: (usize, usize) = (1 << 10, 1 << 7);

/// An error in a kernel's source, with its location.
#[derive(Debug)]
pub(super) struct Complaint {
    pub span: Span,
    pub message: String,
}

impl Complaint {
    pub fn new(span: Span, message: impl Into<String>) -> Complaint {
        Complaint { span, message: message.into() }
    }
}

/// The source of a WGSL module, assembled from parts that the kernel's author wrote and from generated parts.
#[derive(Default)]
pub(super) struct ModuleSource {
    text: String,
    /// The name of each part that the author wrote, and its byte range in the source.
    parts: Vec<(&'static str, Range<usize>)>,
}

impl ModuleSource {
    /// Starts a module in which the type names are aliases of dtypes.
    pub fn new(names: &Names, named: &[DType]) -> ModuleSource {
        let mut source = ModuleSource::default();
        // an extension must be enabled before all other declarations, and a body may use f16 even if no parameter does
        source.text.push_str("enable f16;\n");
        for (name, dtype) in names.iter().zip(named) {
            let _ = writeln!(source.text, "alias {name} = {};", computed(*dtype).name());
        }
        source
    }

    /// Adds generated source.
    pub fn ours(&mut self, text: &str) -> &mut ModuleSource {
        self.text.push_str(text);
        self
    }

    /// For each parameter, adds `before`, then `name: type`, then `behind`.
    pub fn list(&mut self, params: &[Param], names: &Names, before: &str, behind: &str) -> &mut ModuleSource {
        let names: Vec<&str> = names.iter().collect();
        for p in params {
            let ty = match p.ty {
                Type::Is(dtype) => computed(dtype).name(),
                Type::Named(n) => names[n],
            };
            let _ = write!(self.text, "{before}{}: {ty}{behind}", p.label);
        }
        self
    }

    /// Adds source that the kernel's author wrote. `what` names it in error messages.
    pub fn theirs(&mut self, what: &'static str, text: &str) -> &mut ModuleSource {
        self.text.push('\n');
        let start = self.text.len();
        self.text.push_str(text);
        self.parts.push((what, start..self.text.len()));
        self.text.push('\n');
        self
    }

    /// Parses and validates the module.
    pub fn parse(&self) -> Result<naga::Module, Complaint> {
        self.is_shallow()?;
        self.parts.iter().try_for_each(|(_, range)| self.is_whole(range))?;
        let mut module = naga::front::wgsl::parse_str(&self.text).map_err(|e| {
            let mut labels = e.labels();
            let label = labels.next();
            let mut message = e.message().to_string();
            for (_, text) in label.iter().filter(|(_, text)| !text.is_empty()) {
                let _ = write!(message, " ({text})");
            }
            for note in e.notes() {
                let _ = write!(message, "; {note}");
            }
            Complaint::new(label.map_or(Span::UNDEFINED, |(span, _)| span), message)
        })?;
        // all capabilities are allowed here, because lowering rejects what it does not support
        match Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module) {
            Ok(_) => {
                module.functions.iter_mut().for_each(|(_, function)| end_without_return(&mut function.body));
                Ok(module)
            }
            Err(e) => {
                // report only the innermost cause: the outer ones name functions and expressions by numbers that are
                // internal to naga
                let mut cause: &dyn std::error::Error = e.as_inner();
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                let message = readable(&cause.to_string());
                let span = e.spans().last().map_or(Span::UNDEFINED, |(span, _)| *span);
                Err(Complaint::new(span, message))
            }
        }
    }

    /// Returns an error if the source is too long or nests too deeply: the recursive parser might overflow its stack
    /// ([`with_room`](super::with_room)). Consecutive operators such as `--x` nest too.
    fn is_shallow(&self) -> Result<(), Complaint> {
        if self.text.len() > MOST_BYTES {
            let detail = format!("the source has {} bytes; a kernel may have at most {MOST_BYTES}", self.text.len());
            return Err(Complaint::new(Span::UNDEFINED, detail));
        }
        if !CAN_WAIT {
            self.fits_a_page()?;
        }
        let (mut depth, mut row) = (0usize, 0usize);
        for (at, c) in self.text.char_indices() {
            match c {
                '(' | '[' | '{' | '<' => depth += 1,
                ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match c {
                '-' | '!' | '~' | '&' | '*' | '+' => row += 1,
                c if c.is_whitespace() => {}
                _ => row = 0,
            }
            if depth.max(row) > MOST_LEVELS {
                let span = Span::new(at as u32, at as u32 + 1);
                return Err(Complaint::new(span, format!("more than {MOST_LEVELS} levels of brackets or operators")));
            }
        }
        Ok(())
    }

    /// Returns an error if a statement has more operators, or the source more branches, than a web page accepts
    /// ([`MOST_IN_A_PAGE`]).
    fn fits_a_page(&self) -> Result<(), Complaint> {
        let (most_operators, most_branches) = MOST_IN_A_PAGE;
        let (mut operators, mut branches) = (0usize, 0usize);
        let end = words_of(&self.text, |at, c| {
            match c {
                ';' | '{' | '}' => operators = 0,
                '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '<' | '>' | '=' | '.' | '[' => operators += 1,
                'e' if self.text[at..].starts_with("else") => branches += 1,
                _ => {}
            }
            operators <= most_operators && branches <= most_branches
        });
        let End::Stopped(at) = end else { return Ok(()) };
        let detail = match branches > most_branches {
            true => format!("more than {most_branches} branches with `else`, which are too many in a web page"),
            false => format!("more than {most_operators} operators in a statement, which are too many in a web page"),
        };
        Err(Complaint::new(Span::new(at as u32, at as u32 + 1), detail))
    }

    /// Returns an error if a part that the author wrote has an unmatched brace or an unterminated comment. Such a part
    /// could end the function around it, or comment out generated source.
    fn is_whole(&self, part: &Range<usize>) -> Result<(), Complaint> {
        let complain = |at: usize, what: &str| {
            let span = Span::new((part.start + at) as u32, (part.start + at) as u32 + 1);
            Err(Complaint::new(span, what))
        };
        let mut open = vec![];
        let end = words_of(&self.text[part.clone()], |at, c| match c {
            '{' => {
                open.push(at);
                true
            }
            '}' => mutant!(a_body_ends_its_function, true, open.pop().is_some()),
            _ => true,
        });
        match end {
            End::Stopped(at) => complain(at, "this `}` has no matching `{`: it would end the kernel's function"),
            End::InComment(at) => complain(at, "this comment does not end"),
            End::Whole => open.last().map_or(Ok(()), |at| complain(*at, "this `{` has no matching `}`")),
        }
    }

    /// Formats a complaint as one line: the name of the part of the source, the line and column in this part (both
    /// counted from 1), the message, and the source line.
    pub fn describe(&self, complaint: &Complaint) -> String {
        let message = complaint.message.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = complaint.span.to_range().map_or(usize::MAX, |r| r.start);
        // if something is missing at the end of a part, the parser reports it in the source after this part
        let part = self.parts.iter().find(|(_, range)| range.start <= at && at <= range.end);
        let part = part.or(self.parts.iter().rev().find(|(_, range)| range.end < at && at != usize::MAX));
        let Some((what, range)) = part else {
            return if at == usize::MAX { message } else { format!("the parameters: {message}") };
        };
        let text = &self.text[range.clone()];
        let mut at = at.min(range.end) - range.start;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
        let (line, column) = (text[..at].matches('\n').count() + 1, text[start..at].chars().count() + 1);
        let shown: String = text[start..].lines().next().unwrap_or("").trim().chars().take(120).collect();
        format!("{what}, line {line}, column {column}: {message}, in `{shown}`")
    }
}

/// How [`words_of`] ended.
pub(super) enum End {
    Whole,
    /// The source ended inside a comment, which starts at this byte.
    InComment(usize),
    /// Reading stopped at this byte, because the callback returned false.
    Stopped(usize),
}

/// Calls `each` with the position and value of each character of a WGSL source until it returns false. Comments are
/// skipped; `each` gets a space in place of every `//`, `/*` and `*/`. Comments between `/*` and `*/` nest. A comment
/// after `//` ends at any line break of WGSL.
pub(super) fn words_of(text: &str, mut each: impl FnMut(usize, char) -> bool) -> End {
    let ends_line = |c: char| matches!(c, '\u{a}'..='\u{d}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut comments = vec![];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let (start, mark) = (at, text.get(at..at + 2).unwrap_or(""));
        let is_comment = match mark {
            "/*" => {
                comments.push(start);
                true
            }
            "*/" => comments.pop().is_some(),
            _ => mark == "//" && comments.is_empty(),
        };
        at += match (is_comment, mark) {
            (true, "//") => text[at..].find(ends_line).unwrap_or(text.len() - at),
            (true, _) => 2,
            (false, _) => c.len_utf8(),
        };
        if (is_comment || comments.is_empty()) && !each(start, if is_comment { ' ' } else { c }) {
            return End::Stopped(start);
        }
    }
    comments.first().map_or(End::Whole, |at| End::InComment(*at))
}

/// Removes `return` statements without a value at the end of a function. naga adds one to each branch of a final `if`.
/// Without these statements, one choice by the condition merges the variables of both branches.
#[allow(clippy::wildcard_enum_match_arm)] // naga's enum also has statements that do not end a block
fn end_without_return(block: &mut naga::Block) {
    use naga::Statement;
    match block.last_mut() {
        Some(Statement::Return { value: None }) => {
            let last = block.len() - 1;
            block.cull(last..);
            end_without_return(block);
        }
        Some(Statement::Block(inner)) => end_without_return(inner),
        Some(Statement::If { accept, reject, .. }) => [accept, reject].into_iter().for_each(end_without_return),
        Some(Statement::Switch { cases, .. }) => {
            cases.iter_mut().filter(|case| !case.fall_through).for_each(|case| end_without_return(&mut case.body));
        }
        _ => {}
    }
}

/// Rewrites a message of naga's validator: uses WGSL's names of types, and omits the numbers of expressions.
fn readable(message: &str) -> String {
    let mut message = message.to_string();
    for dtype in DType::ALL {
        let kind = match dtype.facts().kind {
            NumberKind::Bool => "Bool",
            NumberKind::Float { .. } => "Float",
            NumberKind::Signed => "Sint",
            NumberKind::Unsigned => "Uint",
        };
        let scalar = format!("Scalar {{ kind: {kind}, width: {} }}", dtype.size());
        message = message.replace(&format!("Scalar({scalar})"), dtype.name()).replace(&scalar, dtype.name());
    }
    // `[3] (of type f32)`, which is expression 3 of type f32, becomes `f32`
    while let Some(start) = message.find("] (of type ") {
        let open = message[..start].rfind('[').unwrap_or(start);
        let behind = start + "] (of type ".len();
        let Some(close) = message[behind..].find(')') else { break };
        let ty = message[behind..behind + close].to_string();
        message.replace_range(open..behind + close + 1, &ty);
    }
    message
}
