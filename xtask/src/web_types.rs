//! `cargo xtask web-types`: the TypeScript types of what travels, from the project's own two schemas.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::tool;

const HEAD: &str = "// Written by `cargo xtask web-types` from docs/openapi.json and docs/socket.schema.json; a test compares.\n";

/// Writes the types where the pages read them.
pub(crate) fn run() -> Result<()> {
    let place = place();
    fs::write(&place, generate()?).with_context(|| format!("writing {}", place.display()))
}

fn place() -> PathBuf {
    tool::root().join("web/wire/generated/protocol.ts")
}

fn generate() -> Result<String> {
    let read = |name: &str| -> Result<Value> {
        let text =
            fs::read_to_string(tool::root().join("docs").join(name)).with_context(|| name.to_owned())?;
        Ok(serde_json::from_str(&text)?)
    };
    let (routes, socket) = (read("openapi.json")?, read("socket.schema.json")?);
    Ok(types(&routes, &socket))
}

fn types(routes: &Value, socket: &Value) -> String {
    let mut definitions = BTreeMap::new();
    for schemas in [&socket["$defs"], &routes["components"]["schemas"]] {
        definitions.extend(schemas.as_object().into_iter().flatten());
    }
    let mut text = String::from(HEAD);
    for (name, schema) in definitions {
        text.push_str(&declaration(name, schema));
    }
    for (namespace, name) in [("/client", "Client"), ("/admin", "Admin")] {
        let namespace = &socket["properties"][namespace]["properties"];
        for kind in ["requests", "events"] {
            let title = if kind == "requests" { "Requests" } else { "Events" };
            text.push_str(&declaration(&format!("{name}{title}"), &namespace[kind]));
        }
    }
    text.push_str(&table_of_routes(&routes["paths"]));
    text
}

fn declaration(name: &str, schema: &Value) -> String {
    format!("\n{}export type {name} = {};\n", comment(schema, 0), of(schema, 0))
}

fn comment(schema: &Value, depth: usize) -> String {
    let Some(text) = schema["description"].as_str() else { return String::new() };
    format!("{}/** {} */\n", indent(depth), text.replace('\n', " ").replace("*/", "* /"))
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// The type of a schema.
fn of(schema: &Value, depth: usize) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        return target.rsplit('/').next().unwrap_or(target).to_owned();
    }
    for (key, sign) in [("oneOf", " | "), ("anyOf", " | "), ("allOf", " & ")] {
        if let Some(parts) = schema[key].as_array() {
            return parts.iter().map(|part| of(part, depth)).collect::<Vec<_>>().join(sign);
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.map(|kind| of_kind(kind, schema, depth)).collect::<Vec<_>>().join(" | ")
        }
        Value::String(kind) => of_kind(kind, schema, depth),
        _ => "unknown".into(),
    }
}

fn of_kind(kind: &str, schema: &Value, depth: usize) -> String {
    match kind {
        "integer" | "number" => "number".into(),
        "boolean" => "boolean".into(),
        "null" => "null".into(),
        "string" => "string".into(),
        "array" => {
            let item = of(&schema["items"], depth);
            if item.contains(' ') { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" => object(schema, depth),
        _ => "unknown".into(),
    }
}

fn object(schema: &Value, depth: usize) -> String {
    let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) else {
        return "Record<string, unknown>".into();
    };
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut text = String::from("{\n");
    for (name, field) in fields {
        let mark = if required.contains(&name.as_str()) { "" } else { "?" };
        text.push_str(&comment(field, depth + 1));
        text.push_str(&format!("{}{}{mark}: {};\n", indent(depth + 1), key(name), of(field, depth + 1)));
    }
    format!("{text}{}}}", indent(depth))
}

fn key(name: &str) -> String {
    let is_plain = name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
    if is_plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// What each route takes and answers, by method and path.
fn table_of_routes(paths: &Value) -> String {
    let mut text = String::from("\n/** What each route takes and answers. */\nexport type Routes = {\n");
    for (path, operations) in paths.as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let query = query(operation);
            let body = content(&operation["requestBody"]);
            let answer = ["200", "201"].iter().find_map(|status| content(&operation["responses"][status]));
            let answer = answer.unwrap_or_else(|| "unknown".into());
            let body = body.unwrap_or_else(|| "undefined".into());
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "  \"{} {path}\": {{ query: {query}; body: {body}; answer: {answer} }};",
                method.to_uppercase()
            );
        }
    }
    text.push_str("};\n");
    text
}

fn query(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let fields: Vec<_> = parameters
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| {
            let mark = if parameter["required"] == true { "" } else { "?" };
            Some(format!("{}{mark}: {}", key(parameter["name"].as_str()?), of(&parameter["schema"], 0)))
        })
        .collect();
    if fields.is_empty() { "undefined".into() } else { format!("{{ {} }}", fields.join("; ")) }
}

fn content(body: &Value) -> Option<String> {
    let schema = body["content"].get("application/json")?.get("schema")?;
    Some(of(schema, 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_types_of_the_pages_are_those_of_the_schemas() {
        let kept = fs::read_to_string(place()).unwrap();
        assert!(
            kept == generate().unwrap(),
            "web/wire/generated is old; write it anew: cargo xtask web-types"
        );
    }

    #[test]
    fn what_may_be_missing_or_null_may_be_so_in_the_type() {
        let schema = json!({ "type": "object", "required": ["id"], "properties": {
            "id": { "type": "string" }, "name": { "type": ["string", "null"] },
            "kinds": { "type": "array", "items": { "enum": ["a", "b"] } }, "for:it": { "$ref": "#/$defs/It" } } });
        let text = of(&schema, 0);
        for line in
            ["  id: string;", "  name?: string | null;", "  kinds?: (\"a\" | \"b\")[];", "  \"for:it\"?: It;"]
        {
            assert!(text.contains(line), "{text}");
        }
    }
}
