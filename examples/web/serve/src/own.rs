//! A page around any crate: both modules, the JavaScript that loads the module that suits the browser, and a page to
//! start from.

use crate::{MODULES, NOT_BUILT, Options, Result, bind, cargo, chromium};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// The JavaScript that loads a module. `@NAME@` stands for the module's name.
const LOADER: &str = include_str!("../starter/load.js");
/// The page to start from, which is written only if there is none.
const STARTER: [(&str, &str); 2] =
    [("index.html", include_str!("../starter/index.html")), ("page.js", include_str!("../starter/page.js"))];

/// The settings of `examples/web`, with the profiles `page` and `quick`.
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// Returns the profiles of `examples/web` as settings for cargo, because other crates do not have them. With equal
/// settings, crates that share a target folder also share the compiled library.
fn profiles() -> Vec<String> {
    let (mut section, mut settings) = ("", vec![]);
    for line in MANIFEST.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.starts_with("profile.")
            && let Some((key, value)) = line.split_once(" = ")
        {
            settings.push(format!("{section}.{key}={value}"));
        }
    }
    settings
}

/// Returns the folder of a crate's page.
pub fn site(folder: &Path) -> Result<PathBuf> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(format!("{} has no Cargo.toml; cargo new --lib makes a crate", folder.display()).into());
    }
    Ok(folder.join("site"))
}

/// Compiles and binds both modules of a crate, and writes what loads them.
pub fn build(folder: &Path, is_quick: bool) -> Result<()> {
    let site = site(folder)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from);
    println!("building two modules of {}; the first time takes some minutes", folder.display());
    for (kind, flags) in MODULES {
        let profile = if is_quick { "quick" } else { "page" };
        let built = cargo(&folder.join("Cargo.toml"), &target, profile, flags)
            .args(profiles().iter().flat_map(|setting| ["--config", setting]))
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()?;
        if !built.status.success() {
            return Err(NOT_BUILT.into());
        }
        let module = module(&String::from_utf8_lossy(&built.stdout)).ok_or(
            "the crate has no module; its Cargo.toml needs a section [lib] with the line crate-type = [\"cdylib\"]",
        )?;
        bind(&module, &site.join(kind)).map_err(|e| {
            format!("{e}\n(is this the line in Cargo.toml? wasm-bindgen = \"={}\")", wasm_bindgen_version())
        })?;
        let name = module.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        write_loader(&site, &name)?;
        write_starter(&site, &name)?;
    }
    println!("the page is in {}", site.display());
    Ok(())
}

/// Writes a page to start from, if the folder has no page. Never replaces a file.
fn write_starter(site: &Path, name: &str) -> Result<()> {
    if !site.join("index.html").exists() {
        for (file, text) in STARTER.iter().filter(|(file, _)| !site.join(file).exists()) {
            std::fs::write(site.join(file), text.replace("@NAME@", name))?;
        }
    }
    Ok(())
}

/// Returns the version of `wasm-bindgen` that a crate needs.
fn wasm_bindgen_version() -> &'static str {
    const MANIFEST: &str = include_str!("../Cargo.toml");
    let line = MANIFEST.lines().find_map(|line| line.strip_prefix("wasm-bindgen-cli-support = \"="));
    line.map_or("", |rest| rest.trim_end_matches('"'))
}

/// Writes the JavaScript that loads the module of this name.
pub fn write_loader(site: &Path, name: &str) -> Result<()> {
    Ok(std::fs::write(site.join("load.js"), LOADER.replace("@NAME@", name))?)
}

/// Returns the path of the module among cargo's messages, which are one JSON object a line.
fn module(messages: &str) -> Option<PathBuf> {
    let of_module = messages.lines().rfind(|line| {
        line.contains(r#""reason":"compiler-artifact""#) && line.contains(r#""cdylib""#) && line.contains(".wasm\"")
    })?;
    let path = of_module.split('"').find(|text| text.ends_with(".wasm"))?;
    Some(path.replace(r"\\", r"\").into())
}

/// Opens the page in a browser that has no window, with each module, and prints what the page shows.
pub fn test(options: &Options, address: &str, reports: &Receiver<String>) -> Result<()> {
    for query in ["?report", "?report&plain"] {
        let browser = chromium(options, &[format!("http://{address}/{query}")])?;
        let report = reports.recv_timeout(Duration::from_secs(100));
        drop(browser);
        let report = report.map_err(|_| format!("the page did not report (does page.js send a report? {query})"))?;
        println!("{report}");
        if report.starts_with("failed") {
            return Err("the page failed".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"crate_types":["lib"]},"filenames":["/t/libcupric.rlib"]}
{"reason":"compiler-artifact","target":{"crate_types":["cdylib","rlib"]},"filenames":["/t/my_page.wasm","/t/libmy_page.rlib"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(module(messages), Some("/t/my_page.wasm".into()));
        assert_eq!(module(&messages.replace("/t/my", r"C:\\t\\my")), Some(r"C:\t\my_page.wasm".into()));
        assert_eq!(module(messages.lines().next().unwrap()), None);
    }

    #[test]
    fn a_page_that_is_there_is_kept() {
        let site = std::env::temp_dir().join(format!("cupric-serve-own-{}", std::process::id()));
        std::fs::create_dir_all(&site).unwrap();
        let read = |file: &str| std::fs::read_to_string(site.join(file)).unwrap();
        std::fs::write(site.join("page.js"), "mine").unwrap();
        write_starter(&site, "my_page").unwrap();
        assert!(read("index.html").contains("<title>my_page</title>") && read("page.js") == "mine");
        std::fs::write(site.join("index.html"), "mine too").unwrap();
        std::fs::remove_file(site.join("page.js")).unwrap();
        write_starter(&site, "other").unwrap();
        assert!(read("index.html") == "mine too" && !site.join("page.js").exists());
        // the loader belongs to the modules, so each build replaces it
        for name in ["my_page", "other"] {
            write_loader(&site, name).unwrap();
            let loader = read("load.js");
            assert!(loader.contains(&format!("const NAME = \"{name}\";")) && loader.contains("${NAME}.js"));
        }
        std::fs::remove_dir_all(&site).unwrap();
    }

    #[test]
    fn the_settings_are_found() {
        let profiles = profiles();
        for setting in [
            "profile.release.panic=\"abort\"",
            "profile.page.inherits=\"release\"",
            "profile.page.package.\"*\".opt-level=\"s\"",
            "profile.page.package.cupric.opt-level=3",
            "profile.quick.lto=\"off\"",
        ] {
            assert!(profiles.iter().any(|found| found == setting), "{setting}: {profiles:?}");
        }
        assert!(wasm_bindgen_version().starts_with("0.2."));
    }

    #[test]
    fn the_guide_names_this_version() {
        const GUIDE: &str = include_str!("../../../../src/guide/browser.md");
        let line = format!("\nwasm-bindgen = \"={}\"\n", wasm_bindgen_version());
        assert!(GUIDE.contains(&line), "the guide lacks{line}");
    }
}
