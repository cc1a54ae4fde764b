//! Writes the source of several elementwise kernels that run in one dispatch. Each kernel gets consecutive whole
//! workgroups. For each kernel, the parameters hold its end: the number of the first workgroup after the kernel's own
//! workgroups. Everything that is declared for a kernel has the kernel's number as a suffix.

use super::library::{self, Dialect};
use super::text::{Text, identifiers, line};
use super::{ELEMENTWISE, HEADER, ParamPositions, Parts, Variant, assembled, frame, parts, rare};
use crate::base::error::Fault;
use crate::plan::kernel::Kernel;

/// Returns the position of the word at which the parameters of the first of `count` kernels begin. Before it, the words
/// from [`HEADER`] on hold the end of each kernel.
pub(crate) fn first_of_together(count: usize) -> usize {
    (HEADER + count).next_multiple_of(4)
}

/// Returns the source of several kernels, whose variants have the same slots (bindings).
pub(crate) fn generate_together(
    kernels: &[(&Kernel, &ParamPositions, &Variant)],
    dialect: Dialect,
) -> Result<String, Fault> {
    let (mut bindings, mut written, mut main) = (String::new(), String::new(), Text::default());
    let mut fields = Text::default();
    line!(fields, "struct AllParameters {{\n@size({}) header: Header,", 4 * HEADER);
    (0..kernels.len()).for_each(|n| line!(fields, "end{n}: u32,"));
    line!(main, "@compute @workgroup_size(WORKGROUP)");
    line!(main, "fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{");
    line!(main, "let group = group_index(id);");
    for (n, (kernel, form, variant)) in kernels.iter().enumerate() {
        let Parts { declarations, written: functions, rest, .. } = parts(kernel, form, variant)?;
        let functions = rare::without_quick_paths(&functions);
        let is_binding = |line: &&str| line.starts_with("@group");
        if n == 0 {
            let lines = declarations.lines().filter(|l| is_binding(l) && !l.contains("<uniform>"));
            bindings.extend(lines.flat_map(|l| [l, "\n"]));
        }
        let own: Vec<&str> = declarations.lines().filter(|l| !is_binding(l)).collect();
        let entry = rest
            .replace("@compute @workgroup_size(WORKGROUP)\n", "")
            .replace("@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane", "group: u32, lane")
            .replace("group_index(id)", "group");
        written.push_str(&numbered(&assembled(&[&own.join("\n"), &functions, &entry]), n));
        line!(fields, "@align(16) own_{n}: Parameters_{n},");
        let first = if mutant!(workgroups_of_all_kernels, true, n == 0) {
            String::from("0u")
        } else {
            format!("params.end{}", n - 1)
        };
        line!(main, "if group < params.end{n} {{\nmain_{n}(group - {first}, lane);\nreturn;\n}}");
    }
    line!(fields, "}}\n\n@group(1) @binding(0) var<uniform> params: AllParameters;");
    line!(main, "}}");
    let library = library::needed(&written, dialect);
    let frame = frame(kernels[0].2.groups.size.into());
    let (head, _) = library::split_head(ELEMENTWISE);
    let parts =
        [head, dialect.enables(&library), &frame, &bindings, &library, &written, &fields.finish(), &main.finish()];
    Ok(assembled(&parts))
}

/// Adds `_{n}` to the names of everything that `text` declares, and replaces `params` by `params.own_{n}`, the
/// parameters of kernel `n`.
fn numbered(text: &str, n: usize) -> String {
    let declares =
        |line: &&str| ["fn ", "struct ", "const ", "var<private> "].iter().any(|word| line.starts_with(word));
    let name = |line| if str::starts_with(line, "var<") { 2 } else { 1 };
    let names: Vec<&str> = text.lines().filter(declares).filter_map(|line| identifiers(line).nth(name(line))).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        out.push_str(&rest[..end]);
        if word == "params" {
            out.push_str(&format!(".own_{n}"));
        } else if names.contains(&word) {
            out.push_str(&format!("_{n}"));
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
