//! `cargo xtask fuzz`: libFuzzer's targets, as fuzz/README.md says, built by stable Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tool;

/// What makes the compiler tell libFuzzer where the program has been.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// The longest input, in bytes.
const MAX_LEN: u32 = 4096;

/// Builds all targets.
pub(crate) fn build() -> Result<()> {
    if std::env::var_os("CXX").is_none() {
        provision::debian_program("c++", "g++")?;
    }
    let mut build = tool::cargo(["build", "--release", "--locked", "--manifest-path=fuzz/Cargo.toml"]);
    // A named target keeps the flags away from build scripts, which could not be linked with them.
    build.args(["--target-dir=fuzz/target", "--target", &host()?]).env("RUSTFLAGS", FLAGS);
    tool::run(&mut build)
}

/// Runs each target from its seeds; stops at the first that finds something.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let folder = tool::root().join("fuzz");
    let binaries = folder.join("target").join(host()?).join("release");
    for target in targets(&folder)? {
        let (corpus, artifacts) = (format!("corpus/{target}"), format!("artifacts/{target}/"));
        fs::create_dir_all(folder.join(&corpus))?;
        fs::create_dir_all(folder.join(&artifacts))?;
        let mut fuzz = Command::new(binaries.join(&target));
        fuzz.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_LEN}")]);
        fuzz.args(["-verbosity=0", "-print_final_stats=1"]);
        fuzz.args([format!("-artifact_prefix={artifacts}"), corpus, format!("seeds/{target}")]);
        tool::run(fuzz.current_dir(&folder))?;
    }
    Ok(())
}

/// The names of all targets, in order.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let sources = folder.join("fuzz_targets");
    let files = fs::read_dir(&sources).with_context(|| format!("reading {}", sources.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let rust = paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names: Vec<_> = rust.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    ensure!(!names.is_empty(), "no fuzz targets in {}", sources.display());
    Ok(names)
}

/// The platform that the compiler runs on.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let about = String::from_utf8(output.stdout)?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_binary_and_seeds() {
        let folder = tool::root().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for target in targets(&folder).unwrap() {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
            assert!(folder.join("seeds").join(&target).is_dir(), "{target}");
        }
    }

    #[test]
    fn a_folder_without_targets_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(targets(folder.path()).is_err());
        fs::create_dir(folder.path().join("fuzz_targets")).unwrap();
        assert!(targets(folder.path()).is_err());
    }
}
