//! The sizes of a module: compressed as web servers send it, and by the crate that each function comes from.

use crate::Result;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// The number of crates that are listed.
const LISTED: usize = 12;

/// Returns the size of a file in bytes after compression with brotli, as most web servers send it.
pub fn compressed(file: &Path) -> Result<usize> {
    let mut packed = vec![];
    // level 11 and a window of 16 MiB, the most that every browser accepts
    let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, 11, 24);
    writer.write_all(&std::fs::read(file)?)?;
    writer.flush()?;
    drop(writer);
    Ok(packed.len())
}

/// Prints the bytes of code of each crate, and of the data, in a module that has the names of its functions.
pub fn list(module: &Path) -> Result<()> {
    let bytes = std::fs::read(module)?;
    let (mut imported, mut bodies, mut data, mut names) = (0, vec![], 0, HashMap::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += matches!(import?.ty, TypeRef::Func(_)) as u32;
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.range().len()),
            Payload::DataSection(section) => data = section.range().len(),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(section) = section.as_known() else { continue };
                for subsection in section {
                    let Name::Function(functions) = subsection? else { continue };
                    for function in functions {
                        let function = function?;
                        names.insert(function.index, function.name);
                    }
                }
            }
            _ => {}
        }
    }
    let mut sizes: HashMap<String, usize> = HashMap::new();
    for (i, size) in bodies.iter().enumerate() {
        let name = names.get(&(imported + i as u32)).copied().unwrap_or_default();
        *sizes.entry(crate_of(&format!("{:#}", rustc_demangle::demangle(name)))).or_default() += size;
    }
    let mut sizes: Vec<(String, usize)> = sizes.into_iter().collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rest: usize = sizes.iter().skip(LISTED).map(|(_, size)| size).sum();
    println!("{}: bytes before compression", module.display());
    sizes.iter().take(LISTED).for_each(|(name, size)| println!("{size:9} code of {name}"));
    println!("{rest:9} other code: of further crates, or of functions whose names have no crate");
    println!("{data:9} data");
    Ok(())
}

/// Returns the crate of a function. Code of a generic function counts for the crate that defines it, and code of a
/// trait's method for the crate of the type.
fn crate_of(name: &str) -> String {
    let mut name = name;
    loop {
        let start = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = start.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        match word {
            "dyn" | "mut" | "const" | "impl" | "for" => name = &start[word.len()..],
            word => return word.to_string(),
        }
    }
}
