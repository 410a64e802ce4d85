//! `cargo xtask sdk`: the mobile SDK as apps have it. The native library in its own profile, the bindings that are made
//! from it, and each language's packages and suite, against the server's binary.

mod kotlin;
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::steps::Steps;
use crate::{clients, demo, tool};

/// What the SDK may add to an app: the stripped library, in bytes.
const LARGEST_LIBRARY: u64 = 3_250_000;

/// The oldest Swift that is installed for the suite: what its Foundation can do on Linux was seen with this one.
const OLDEST_SWIFT: u32 = 6;

/// Installs what is missing, builds, and runs all suites.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    let outcome = run_alone(&mut steps);
    tool::say(&format!("\n{}", steps.summary()));
    outcome
}

fn run_alone(steps: &mut Steps) -> Result<()> {
    let python = steps.run("install what is missing", || {
        demo::c_compiler()?;
        install()?;
        clients::python_environment()
    })?;
    steps.run("build", || tool::run(&mut tool::cargo(["build", "--locked", "--workspace"])))?;
    let library = steps.run("SDK: library", library)?;
    steps.run("SDK: bindings", write_bindings)?;
    run_steps(steps, &library, &python)
}

/// Installs what the suites need beside the Python environment of the stock clients.
pub(crate) fn install() -> Result<()> {
    kotlin::install()?;
    if provision::program("swiftc").is_none() && provision::debian_offers("swiftlang", OLDEST_SWIFT) {
        // It links C++, for which it names no package.
        provision::debian_packages(&["swiftlang", "g++"])?;
    }
    Ok(())
}

/// The suites of the SDK's languages. The workspace has been built, the library and the bindings too.
pub(crate) fn run_steps(steps: &mut Steps, library: &Path, python: &Path) -> Result<()> {
    steps.check("SDK: Python", || python::run(library, python))?;
    steps.check("SDK: Kotlin", || kotlin::run(library))?;
    steps.check("SDK: Swift", in_swift)
}

/// Builds the crate and writes the bindings, for those who package the SDK.
pub(crate) fn bindings() -> Result<()> {
    demo::c_compiler()?;
    tool::run(&mut tool::cargo(["build", "--locked", "-p", "sdk-ffi"]))?;
    write_bindings()?;
    tool::say(&format!("the bindings are in {}", bindings_folder()?.display()));
    Ok(())
}

/// Makes the packages for the JVM, for those who use the SDK there.
pub(crate) fn jar() -> Result<()> {
    demo::c_compiler()?;
    kotlin::install()?;
    tool::run(&mut tool::cargo(["build", "--locked", "-p", "sdk-ffi"]))?;
    write_bindings()?;
    let folder = kotlin::package(&library()?)?;
    tool::say(&format!("the jar, its sources and its POM are in {}", folder.display()));
    Ok(())
}

/// Builds the library as apps have it, and holds it to its size.
pub(crate) fn library() -> Result<PathBuf> {
    let built = tool::output(Command::new(folder("build-library.sh")).arg("cdylib"))?;
    let library = tool::root().join(built.trim());
    let bytes = fs::metadata(&library).with_context(|| format!("looking at {}", library.display()))?.len();
    tool::say(&format!("{bytes} bytes, of {LARGEST_LIBRARY} at most"));
    ensure!(
        bytes <= LARGEST_LIBRARY,
        "the SDK's library has {bytes} bytes and may have {LARGEST_LIBRARY}: see docs/decisions/0009-sdk-bindings.md"
    );
    Ok(library)
}

/// Writes the bindings for all languages. They are read from the library that was built with the workspace: in the one
/// for apps, the names that tell of them are stripped.
pub(crate) fn write_bindings() -> Result<()> {
    let source = tool::target_dir()?.join("debug/libreplyhq_sdk.rlib");
    let generator = ["run", "--quiet", "--locked", "-p", "sdk-bindgen", "--features", "generator", "--"];
    tool::run(tool::cargo(generator).arg(source).arg(bindings_folder()?))
}

/// Compiles the module and the suite and runs it, where there is a Swift compiler: Debian has a new enough one since release 13.
fn in_swift() -> Result<()> {
    if provision::program("swiftc").is_none() {
        tool::say(
            "there is no swiftc here, and no package of Swift 6: the Swift wrapper was NOT compiled, its suite was NOT run",
        );
        return Ok(());
    }
    let archive = tool::output(Command::new(folder("build-library.sh")).arg("staticlib"))?;
    let bindings = bindings_folder()?.join("swift");
    // swiftc finds a C module by this name of its map.
    let module_map = bindings.join("module.modulemap");
    fs::copy(bindings.join("ReplyHQFFI.modulemap"), module_map)?;
    let swiftc = || {
        let mut swiftc = Command::new("swiftc");
        swiftc.args(["-swift-version", "5", "-parse-as-library", "-I"]).arg(&bindings).current_dir(&bindings);
        swiftc
    };
    let mut module = swiftc();
    module.args(["-module-name", "ReplyHQ", "-emit-module", "-emit-library", "-static"]);
    module
        .args(["-o", "libReplyHQ.a"])
        .arg("ReplyHQBindings.swift")
        .args(sources(&folder("swift/Sources/ReplyHQ"), "swift")?);
    tool::run(&mut module)?;
    let mut suite = swiftc();
    suite.args(["-module-name", "Suite", "-o", "suite"]).args(sources(&folder("swift/Tests"), "swift")?);
    // Past the compiler, straight to the linker: it would read the archive's bitcode, which is of a newer LLVM.
    suite.arg("libReplyHQ.a").arg("-Xlinker").arg(tool::root().join(archive.trim()));
    // What Rust's own library needs of the system.
    suite.args(["-lm", "-lpthread", "-ldl"]);
    tool::run(&mut suite)?;
    tool::run(Command::new(bindings.join("suite")).env("REPLYHQ_BINARY", server()?))
}

/// In the repository, what is written by hand.
fn folder(name: &str) -> PathBuf {
    tool::root().join("sdk").join(name)
}

/// Where the generated code goes, and what is put together with it.
fn bindings_folder() -> Result<PathBuf> {
    Ok(tool::target_dir()?.join("sdk-bindings"))
}

fn server() -> Result<PathBuf> {
    Ok(tool::target_dir()?.join("debug/replyhq"))
}

/// The files directly in a folder that end so, in the order of their names.
fn sources(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

/// Copies a file into a folder, which is made if it is missing.
fn copy(file: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
    fs::copy(file, to.join(name)).with_context(|| format!("copying {}", file.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between `[name]` and `[/name]`, without the lines of the marks.
    fn marked(source: &str, name: &str) -> String {
        let (begin, end) = (format!(" [{name}]"), format!(" [/{name}]"));
        let lines = source.lines().skip_while(|line| !line.trim_end().ends_with(&begin)).skip(1);
        lines.take_while(|line| !line.trim_end().ends_with(&end)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_programs_of_the_documents_are_what_the_suites_run() {
        for (document, language, file) in [
            ("kotlin.md", "kotlin", "sdk/kotlin/Quickstart.kt"),
            ("swift.md", "swift", "sdk/swift/Tests/Quickstart.swift"),
            ("python.md", "python", "sdk/python/quickstart.py"),
            ("rust.md", "rust", "sdk/rust/src/main.rs"),
        ] {
            let source = fs::read_to_string(tool::root().join(file)).unwrap();
            let text = fs::read_to_string(tool::root().join("docs/sdk").join(document)).unwrap();
            for name in ["quickstart", "tokens"] {
                // Rust's is run by the scenario, which is no program.
                let source = match (language, name) {
                    ("rust", "tokens") => {
                        fs::read_to_string(tool::root().join("tests/sdk_scenario.rs")).unwrap()
                    }
                    _ => source.clone(),
                };
                let code = marked(&source, name);
                assert!(code.lines().count() > 5, "{file} has no region {name}");
                assert!(
                    text.contains(&format!("```{language}\n{code}\n```\n")),
                    "docs/sdk/{document} has another {name} than {file}:\n{code}"
                );
            }
        }
    }

    #[test]
    fn both_parts_of_uniffi_are_one_release() {
        let lock = fs::read_to_string(tool::root().join("Cargo.lock")).unwrap();
        let version = |name: &str| {
            let line = format!("name = \"{name}\"\nversion = ");
            let (_, rest) = lock.split_once(&line).unwrap();
            rest.lines().next().unwrap().to_owned()
        };
        assert_eq!(version("uniffi"), version("uniffi_bindgen"));
    }

    #[test]
    fn only_the_sources_of_a_folder_are_compiled() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.kt", "a.kt", "package.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = sources(folder.path(), "kt").unwrap();
        assert_eq!(found, ["a.kt", "b.kt"].map(|name| folder.path().join(name)));
    }
}
