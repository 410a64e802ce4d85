//! The OpenAPI document, and a page that shows it to people.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use protocol::{Failure, limits};
use serde_json::{Value, json};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What stands above the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ReplyHQ",
        description = "Self-hosted realtime support chat. Live events are on Socket.IO at /v1/socket.io.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "The server that this document comes from")),
    components(schemas(Failure)),
    tags((name = "device", description = "For apps. `X-App-Id`, `X-Device-Id` and `X-Api-Key` say who asks. What a header can't \
        carry is written as RFC 8187 has it: `UTF-8''Jos%C3%A9`"),
        (name = "agent", description = "For agents: `Authorization: Bearer ADMIN_TOKEN`")),
    modifiers(&Credentials)
)]
pub(super) struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (name, header, description) in [
            ("app", "X-App-Id", "The app's id"),
            ("device", "X-Device-Id", "The device's own name, 1 to 128 characters of any script"),
            ("key", "X-Api-Key", "The app's key, which is public: it ships inside apps"),
        ] {
            let key = ApiKey::Header(ApiKeyValue::with_description(header, description));
            components.add_security_scheme(name, SecurityScheme::ApiKey(key));
        }
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("agent", SecurityScheme::Http(bearer));
    }
}

/// How a request can fail: the response's name, its status, and when.
const FAILURES: [(&str, u16, &str); 9] = [
    ("Invalid", 400, "`MISSING_PARAMS` or `VALIDATION_ERROR`: what was given is not of its form"),
    ("Unauthorized", 401, "`INVALID_CREDENTIALS`, or what is wrong with the form of a credential"),
    (
        "Forbidden",
        403,
        "`FORBIDDEN`: the token lacks the permission, or the app takes no requests of this page's origin",
    ),
    (
        "NotFound",
        404,
        "`CONVERSATION_NOT_FOUND`, `MESSAGE_NOT_FOUND` or `ACTIVITY_NOT_FOUND`: it is not there, or somebody else's",
    ),
    (
        "Conflict",
        409,
        "`LOCAL_ID_CONFLICT`: this `local_id` names another message, or another note, of the conversation; `ASSIGNEE_CHANGED`: it is with another \
        agent than the request supposes",
    ),
    ("TooLarge", 413, "`MESSAGE_TOO_LONG`: a text or the body has more than it may have"),
    ("TooFast", 429, "`RATE_LIMITED`: wait as long as `retry_after_ms` says"),
    ("Failed", 500, "`SERVER_ERROR`: the database could not do it just now; try again"),
    ("Unavailable", 503, "`AUTH_ERROR` or `SHUTTING_DOWN`: try again"),
];

/// Fields with the least and the most characters that they may have.
const LENGTHS: [(&str, &str, usize, usize); 14] = [
    ("SendMessage", "local_id", 1, limits::LOCAL_ID_CHARS),
    ("SendMessage", "body", 1, limits::BODY_CHARS),
    ("AddNote", "local_id", 1, limits::LOCAL_ID_CHARS),
    ("AddNote", "body", 1, limits::BODY_CHARS),
    ("AddCannedReply", "shortcut", 1, limits::SHORTCUT_CHARS),
    ("AddCannedReply", "text", 1, limits::BODY_CHARS),
    ("AddTag", "tag", 1, limits::TAG_CHARS),
    ("DescribePerson", "about", 0, limits::ABOUT_CHARS),
    ("Receipt", "up_to_message_id", 1, limits::NAME_CHARS),
    ("User", "name", 1, limits::NAME_CHARS),
    ("User", "email", 1, limits::NAME_CHARS),
    ("Message", "body", 1, limits::BODY_CHARS),
    ("UserId", "", 1, limits::NAME_CHARS),
    ("DeviceId", "", 1, limits::DEVICE_ID_CHARS),
];

/// The document with what all operations share: how they fail, lengths, and what a page holds at most. Each of these comes
/// from where the server itself has it.
pub(super) fn complete(document: &utoipa::openapi::OpenApi) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(document)?;
    let failure = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Failure" } } });
    for (name, status, description) in FAILURES {
        let mut response = json!({ "description": description, "content": failure });
        if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
            let schema = json!({ "type": "integer", "minimum": 0 });
            response["headers"] = json!({ "Retry-After": { "description": "In seconds", "schema": schema } });
        }
        document["components"]["responses"][name] = response;
    }
    for (schema, field, least, most) in LENGTHS {
        let schema = &mut document["components"]["schemas"][schema];
        let place = if field.is_empty() { schema } else { &mut schema["properties"][field] };
        place["minLength"] = least.into();
        place["maxLength"] = most.into();
    }
    let schemas = document["components"]["schemas"].as_object_mut();
    for schema in schemas.into_iter().flat_map(|schemas| schemas.values_mut()) {
        let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
        for field in fields.into_iter().flat_map(|fields| fields.values_mut()) {
            // What an app makes up: a client that is generated must not think that it is empty.
            let is_object = field.get("type").is_some_and(|types| types.to_string().contains("object"));
            if is_object && field.get("properties").is_none() {
                field["additionalProperties"] = true.into();
            }
        }
    }
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.iter_mut());
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation);
        }
    }
    Ok(document)
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    if path == "/v1/conversations" && has_body {
        // All of it is optional, and an empty body is `{}`.
        operation["requestBody"]["required"] = false.into();
    }
    let is_send = method == "post" && (path.ends_with("/messages") || path.ends_with("/notes"));
    let is_assignment = method == "patch" && path == "/v1/admin/conversations/{id}";
    let names_something =
        path.contains('{') || path == "/v1/admin/sign-ins" || path.starts_with("/v1/admin/app");
    for (name, status, _) in FAILURES {
        let happens = match status {
            404 => names_something,
            413 => has_body,
            409 => is_send || is_assignment,
            _ => true,
        };
        if happens {
            operation["responses"][status.to_string()] =
                json!({ "$ref": format!("#/components/responses/{name}") });
        }
    }
    let answers = operation["responses"].as_object_mut().into_iter().flat_map(|answers| answers.values_mut());
    for answer in answers.filter(|answer| answer.get("$ref").is_none()) {
        if answer.get("description").is_none_or(|text| text == "") {
            answer["description"] = "Done".into();
        }
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        complete_parameter(path, parameter);
    }
}

fn complete_parameter(path: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let schema = &mut parameter["schema"];
    match name.as_str() {
        "limit" => {
            let (default, most) = if path.ends_with("/sessions") {
                (limits::SESSIONS_PAGE_MAX, limits::SESSIONS_PAGE_MAX)
            } else {
                (limits::PAGE, limits::PAGE_MAX)
            };
            *schema = json!({ "type": "integer", "minimum": 1, "default": default });
            parameter["description"] = format!("How many; more than {most} are {most}").into();
        }
        "Idempotency-Key" => {
            *schema = json!({ "type": "string", "minLength": 1, "maxLength": limits::LOCAL_ID_CHARS });
        }
        "id" => {
            *schema = json!({ "type": "string", "minLength": 1 });
            parameter["description"] = "The conversation's id".into();
        }
        "device_id" if path.ends_with("/presence") => {
            *schema = json!({ "type": "string", "minLength": 1, "maxLength": limits::DEVICE_ID_CHARS });
            parameter["description"] = "The device's own name, or its handle".into();
        }
        // What is optional in a query is left out, and never null.
        _ => {
            let types = schema["type"].as_array().and_then(|types| types.first()).cloned();
            if let Some(only) = types {
                schema["type"] = only;
            }
        }
    }
}

pub(super) async fn document(document: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// The page; it loads `/openapi.json` and nothing else.
pub(super) async fn page() -> Response {
    const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
        script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, include_str!("docs.html")).into_response()
}
