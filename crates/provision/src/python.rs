//! Python and a virtual environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{debian_packages, run};

/// A virtual environment in `folder` that holds what the requirements file names. Returns its Python.
///
/// # Errors
/// If Python is missing and can't be installed, or if pip fails.
pub fn python_environment(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted =
        fs::read_to_string(requirements).with_context(|| format!("reading {}", requirements.display()))?;
    let python = folder.join("bin/python");
    // A copy of what was installed; written last, so that half an installation does not count.
    let installed = folder.join("installed-requirements.txt");
    if python.exists() && fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    // Debian ships the module without the part that it needs.
    let is_whole = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    if !is_whole.is_ok_and(|output| output.status.success()) {
        debian_packages(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
    fs::write(&installed, wanted)?;
    Ok(python)
}
