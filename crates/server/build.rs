//! Makes a table of the pages in `web/dist`, for the binary to serve. Where they have not been built the table is empty:
//! `cargo build` alone needs no Node.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The forms that the web's build has made of a file already, by the ending that it has given them.
const ENCODINGS: [(&str, &str); 2] = [("brotli", "br"), ("gzip", "gz")];

fn main() -> io::Result<()> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let dist = web.join("dist");
    // A folder that is not there would have this run each time; then the one around it is watched, if that is there.
    watch("build.rs");
    let watched = if dist.is_dir() { &dist } else { &web };
    watch(&watched.display().to_string());
    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    let mut table = String::from("&[\n");
    for file in files.iter().filter(|file| !is_encoded(file)) {
        let path = file.strip_prefix(&dist).map_err(io::Error::other)?.display();
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(file)?);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let mut encodings = String::new();
        for (field, ending) in ENCODINGS {
            let encoded = PathBuf::from(format!("{}.{ending}", file.display()));
            let value =
                if encoded.exists() { format!("Some({})", include(&encoded, &out)?) } else { "None".into() };
            write!(encodings, ", {field}: {value}").map_err(io::Error::other)?;
        }
        writeln!(
            table,
            "Asset {{ path: {:?}, tag: {tag:?}, plain: {}{encodings} }},",
            path.to_string(),
            include(file, &out)?
        )
        .map_err(io::Error::other)?;
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)
}

fn watch(path: &str) {
    println!("cargo::rerun-if-changed={path}");
}

/// Includes a copy: the pages may be built anew while the compiler still reads these.
fn include(file: &Path, out: &Path) -> io::Result<String> {
    let name = file.file_name().ok_or_else(|| io::Error::other("a file has a name"))?;
    let copy = out.join(name);
    fs::copy(file, &copy)?;
    Ok(format!("include_bytes!({:?})", copy.display().to_string()))
}

fn is_encoded(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ENCODINGS.iter().any(|(_, encoded)| ending == *encoded))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
