//! The SDK on the JVM: its jar, its sources and its POM; the hooks for Android, against stubs; and the suite, whose programs
//! have the jar and nothing else of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{bindings_folder, folder, server, sources};
use crate::clients::OLDEST_NODE;
use crate::tool;

/// Java's way to native libraries; of Debian's package `libjna-java`.
const JNA: &str = "/usr/share/java/jna.jar";

/// The packages' version, as the crates'.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the hooks for Android are found as text, by those who use the jar's sources.
const ANDROID: &str = "src/android/kotlin";

/// Installs what is missing for all of it.
pub(super) fn install() -> Result<()> {
    provision::debian_program("java", "default-jre-headless")?;
    provision::debian_program("zip", "zip")?;
    if !Path::new(JNA).exists() {
        provision::debian_packages(&["libjna-java"])?;
    }
    provision::node_packages(&folder("kotlin"), OLDEST_NODE)
}

/// Makes the packages and runs all that uses them.
pub(super) fn run(library: &Path) -> Result<()> {
    let packages = package(library)?;
    let jar = packages.join(file(".jar"));
    let built = bindings_folder()?;

    let (stubs, hooks) = (built.join("android-stubs.jar"), built.join("android-hooks.jar"));
    compile(&[folder("kotlin/stubs/android")], &[], &stubs)?;
    compile(&[folder("kotlin").join(ANDROID)], &[&jar, &stubs], &hooks)?;

    let suite = built.join("kotlin-suite.jar");
    compile(&sources(&folder("kotlin"), "kt")?, &[&jar, &stubs, &hooks], &suite)?;
    let stranger = built.join("kotlin-stranger.jar");
    compile(&[folder("kotlin/consumer")], &[&jar], &stranger)?;

    let program = |main: &str, jars: &[&Path]| -> Result<Command> {
        let mut program = Command::new("java");
        program.arg("-classpath").arg(classpath(jars)?).arg(main).env("REPLYHQ_BINARY", server()?);
        Ok(program)
    };
    let mut run = program("com.replyhq.sdk.tests.ScenarioKt", &[&jar, &stubs, &hooks, &suite])?;
    // Programs that it starts itself: the quickstart, and the stranger's.
    run.env("REPLYHQ_SUITE_CLASSPATH", classpath(&[&jar, &suite])?);
    run.env("REPLYHQ_STRANGER_CLASSPATH", classpath(&[&jar, &stranger])?);
    tool::run(&mut run)
}

/// Makes the jar with the native library in it, its sources, and its POM, in a folder of their own.
pub(super) fn package(library: &Path) -> Result<PathBuf> {
    let packages = tool::target_dir()?.join("sdk-jvm");
    // Nothing of an earlier run is packaged.
    if packages.exists() {
        fs::remove_dir_all(&packages).with_context(|| format!("removing {}", packages.display()))?;
    }
    let own = [bindings_folder()?.join("kotlin"), folder("kotlin/src/main/kotlin")];
    let jar = packages.join(file(".jar"));
    fs::create_dir_all(&packages)?;
    compile(&own, &[], &jar)?;

    // Where JNA looks for it.
    let resources = packages.join("resources");
    let native = resources.join(native_folder()?);
    super::copy(library, &native)?;
    zip(&jar, &resources, ".")?;
    for folder in own.iter().chain([&folder("kotlin").join(ANDROID)]) {
        zip(&packages.join(file("-sources.jar")), folder, ".")?;
    }
    fs::remove_dir_all(&resources)?;
    fs::write(packages.join(file(".pom")), pom(&compiler_version()?))?;
    Ok(packages)
}

/// A package's name.
fn file(end: &str) -> String {
    format!("replyhq-sdk-{VERSION}{end}")
}

/// The folder of this system's libraries in a jar, in JNA's words.
fn native_folder() -> Result<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        "windows" => "win32",
        other => anyhow::bail!("the jar can't be made on {other}"),
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        other => other,
    };
    Ok(format!("{system}-{processor}"))
}

/// What the jar needs, for Maven and Gradle. The Kotlin library is that of the compiler.
fn pom(kotlin: &str) -> String {
    let dependency = |group: &str, artifact: &str, version: &str, scope: &str| {
        format!(
            "    <dependency>\n      <groupId>{group}</groupId>\n      <artifactId>{artifact}</artifactId>\n      \
             <version>{version}</version>\n      <scope>{scope}</scope>\n    </dependency>\n"
        )
    };
    let needed = [
        dependency("org.jetbrains.kotlin", "kotlin-stdlib", kotlin, "compile"),
        dependency("org.jetbrains.kotlinx", "kotlinx-coroutines-core-jvm", "1.11.0", "compile"),
        dependency("net.java.dev.jna", "jna", "5.18.1", "runtime"),
    ];
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>com.replyhq</groupId>\n  <artifactId>replyhq-sdk</artifactId>\n  <version>{VERSION}</version>\n  \
         <packaging>jar</packaging>\n  <name>ReplyHQ SDK</name>\n  \
         <description>Support chat that works offline and loses nothing, for the JVM</description>\n  \
         <licenses>\n    <license><name>Apache-2.0</name></license>\n    <license><name>MIT</name></license>\n  </licenses>\n  \
         <dependencies>\n{}  </dependencies>\n</project>\n",
        needed.concat()
    )
}

/// The version of the compiler that npm has installed.
fn compiler_version() -> Result<String> {
    let package = folder("kotlin/package.json");
    let text = fs::read_to_string(&package).with_context(|| format!("reading {}", package.display()))?;
    let version = text.split("\"kotlin-compiler\": \"").nth(1).and_then(|rest| rest.split('"').next());
    version.map(str::to_owned).context("sdk/kotlin/package.json names no compiler")
}

/// Adds all that is in a folder to an archive.
fn zip(archive: &Path, folder: &Path, what: &str) -> Result<()> {
    // Without times of their own, the same content is the same package.
    tool::run(Command::new("zip").args(["-q", "-r", "-X"]).arg(archive).arg(what).current_dir(folder))
}

/// Compiles sources, files or folders, to a jar.
fn compile(what: &[PathBuf], against: &[&Path], jar: &Path) -> Result<()> {
    ensure!(!what.is_empty(), "nothing to compile for {}", jar.display());
    let compiler = folder("kotlin/node_modules/kotlin-compiler/lib");
    let mut compile = Command::new("java");
    compile.arg("-classpath").arg(compiler.join("*")).arg("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler");
    // Of the generated code, warnings tell nothing that could be changed here.
    compile.args(["-no-stdlib", "-no-reflect", "-nowarn", "-jvm-target", "11", "-classpath"]);
    tool::run(compile.arg(classpath(against)?).arg("-d").arg(jar).args(what))
}

/// These jars, with Kotlin's library, coroutines and JNA.
fn classpath(jars: &[&Path]) -> Result<std::ffi::OsString> {
    let compiler = folder("kotlin/node_modules/kotlin-compiler/lib");
    let libraries = ["kotlin-stdlib.jar", "kotlinx-coroutines-core-jvm.jar"].map(|jar| compiler.join(jar));
    let all = jars.iter().map(|jar| jar.to_path_buf()).chain([PathBuf::from(JNA)]).chain(libraries);
    Ok(std::env::join_paths(all)?)
}
