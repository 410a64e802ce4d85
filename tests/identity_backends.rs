//! The examples of `docs/people.md` for an operator's own backend, each run as it stands there, where its language is at hand:
//! what they sign is believed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::TestServer;

const DOCUMENT: &str = include_str!("../docs/people.md");
const IN_RUST: &str = include_str!("../crates/testkit/src/identity.rs");

/// The example in a language.
fn example(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).expect("an example");
    rest.split("```").next().expect("its end")
}

/// The example with a program around it that prints a token for Ann, signed with `secret`; the files, and the command that
/// runs it.
fn program(language: &str, secret: &str) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let text = example(language);
    let person = r#"id: "ann", name: "Ann", email: "ann@example.com""#;
    match language {
        "js" => {
            let main = format!(
                "import {{ identityToken }} from './identity.mjs'; \
                 process.stdout.write(identityToken('{secret}', {{ {person} }}));"
            );
            (vec![("identity.mjs", text.into()), ("main.mjs", main)], vec!["node", "main.mjs"])
        }
        "python" => {
            let person = r#""id": "ann", "name": "Ann", "email": "ann@example.com""#;
            let main = format!("{text}\nprint(identity_token('{secret}', {{{person}}}), end='')\n");
            (vec![("main.py", main)], vec!["python3", "main.py"])
        }
        "php" => {
            let person = "['id' => 'ann', 'name' => 'Ann', 'email' => 'ann@example.com']";
            (
                vec![("main.php", format!("{text}\necho identity_token('{secret}', {person});\n"))],
                vec!["php", "main.php"],
            )
        }
        "ruby" => (
            vec![("main.rb", format!("{text}\nprint identity_token('{secret}', {{ {person} }})\n"))],
            vec!["ruby", "main.rb"],
        ),
        "go" => {
            let main = text.replace("package identity", "package main\n\nimport \"os\"");
            let call = format!(
                "func main() {{ os.Stdout.WriteString(Token(\"{secret}\", \"ann\", \"Ann\", \"ann@example.com\")) }}"
            );
            (vec![("main.go", format!("{main}\n{call}\n"))], vec!["go", "run", "main.go"])
        }
        "java" => {
            let (imports, class) = text.split_once("\n\n").expect("imports, and a class");
            let main = format!(
                "class Main {{ public static void main(String[] a) throws Exception {{ \
                 System.out.print(Identity.token(\"{secret}\", \"ann\")); }} }}"
            );
            (vec![("Main.java", format!("{imports}\n{main}\n{class}"))], vec!["java", "Main.java"])
        }
        other => panic!("no way to run {other}"),
    }
}

/// What the program prints; `None` if there is no such language here.
fn run(folder: &Path, language: &str, secret: &str) -> Option<String> {
    let (files, command) = program(language, secret);
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let ran = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let output = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        ran => ran.unwrap(),
    };
    assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_tell_a_backend_to_sign_is_believed() {
    let server = TestServer::start().await;
    let app = server.app().await;
    let (_, secret) = app.identity_secret().await;
    let mut believed = vec!["rust"];
    for language in ["js", "python", "php", "ruby", "go", "java"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(token) = run(folder.path(), language, &secret) else { continue };
        let device = app.as_owner(language, &format!("{language}-secret-of-32-characters-or-more"));
        device.post("/v1/identify", &json!({ "token": token })).await.ok();
        let conversation = device.post("/v1/conversations", &json!({})).await.ok();
        assert_eq!(conversation["conversation"]["user_id"], "ann", "{language}");
        believed.push(language);
    }
    // What every machine has that runs these tests.
    assert!(["js", "python"].iter().all(|language| believed.contains(language)), "{believed:?}");
    let (_, function) = IN_RUST.split_once("pub fn identity_token").unwrap();
    let (function, _) = function.split_once("\n}\n").unwrap();
    assert!(example("rust").contains(function), "the example in Rust is what the tests sign with");
    let conversations = app.as_agent().get("/v1/admin/conversations").await.ok();
    assert_eq!(conversations["conversations"][0]["is_verified"], Value::Bool(true));
}
