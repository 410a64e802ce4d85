//! `sdk-bindgen LIBRARY OUT_DIR`: writes the SDK's bindings for Kotlin, Swift and Python, each into a folder of its own.
//!
//! The interface is read from what UniFFI's macros left in the library, which must not be stripped.

use std::env;

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use uniffi_bindgen::bindings::{GenerateOptions, TargetLanguage, generate};

/// How the generated code is called, in each language.
const NAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bindings.toml");

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1).map(Utf8PathBuf::from);
    let (Some(source), Some(out_dir), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: sdk-bindgen LIBRARY OUT_DIR");
    };
    for (language, folder) in [
        (TargetLanguage::Kotlin, "kotlin"),
        (TargetLanguage::Swift, "swift"),
        (TargetLanguage::Python, "python"),
    ] {
        let options = GenerateOptions {
            languages: vec![language],
            source: source.clone(),
            out_dir: out_dir.join(folder),
            config_override: Some(NAMES.into()),
            ..GenerateOptions::default()
        };
        generate(options).with_context(|| format!("writing the bindings for {folder} from {source}"))?;
    }
    Ok(())
}
