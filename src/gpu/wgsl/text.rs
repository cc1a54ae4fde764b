//! Collects lines of WGSL source, and indents them by the braces that they open and close.

use std::fmt;

/// Source that grows by lines.
#[derive(Default)]
pub(super) struct Text {
    text: String,
    depth: usize,
}

impl Text {
    /// Adds one line, or several separated by line feeds; a line feed at the end adds an empty line. A line that begins
    /// with `}` is indented like the line whose `{` it closes.
    pub fn add(&mut self, lines: fmt::Arguments<'_>) {
        for line in lines.to_string().split('\n').map(str::trim) {
            let closing = line.bytes().take_while(|b| *b == b'}').count();
            let opened = line.bytes().filter(|b| *b == b'{').count();
            let closed = line.bytes().filter(|b| *b == b'}').count();
            self.depth = self.depth.saturating_sub(closing);
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n("    ", self.depth));
                self.text.push_str(line);
            }
            self.text.push('\n');
            self.depth = (self.depth + opened).saturating_sub(closed - closing);
        }
    }

    /// Adds source that is indented already.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn finish(self) -> String {
        self.text
    }
}

/// Adds one or more lines to a [`Text`].
macro_rules! line {
    ($out:expr, $($arg:tt)*) => { $out.add(format_args!($($arg)*)) };
}
pub(super) use line;

/// Returns the words of WGSL source that may be identifiers, including keywords and numbers.
pub(super) fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|s| !s.is_empty())
}
