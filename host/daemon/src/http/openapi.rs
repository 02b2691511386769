//! The OpenAPI document, made from the same table as the router.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use volward_api::{Problem, ProblemCode, Words};

use super::routes::{Parameter, Route, table};

/// The OpenAPI 3.1 document of everything that [`table`] has, keys in alphabetical order.
pub(crate) fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for route in table() {
        let body = route.body.map(|schema| schema(&mut generator));
        let reply = (route.reply)(&mut generator);
        let parameters = route
            .query
            .iter()
            .map(|taken| parameter(taken, &mut generator));
        let parameters = parameters.collect();
        let operation = operation(
            &route,
            parameters,
            body.map(Value::from),
            reply.into(),
            problem.clone().into(),
        );
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "volwardd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "HTTP over a unix socket; origin and uid of a caller come from its \
                            credentials. Every failure has a Problem as its body. How long a caller waits for an \
                            answer it may say in the header `Prefer: wait=SECONDS` (RFC 7240): what \
                            could not be answered in time is refused at once, with the code `busy` and \
                            `retry_after_ms`.",
        },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn parameter(taken: &Parameter, generator: &mut SchemaGenerator) -> Value {
    json!({
        "name": taken.name, "in": if taken.is_in_path { "path" } else { "query" }, "required": taken.is_required, "description": taken.meaning,
        "schema": (taken.takes)(generator),
    })
}

fn operation(
    route: &Route,
    parameters: Vec<Value>,
    body: Option<Value>,
    reply: Value,
    problem: Value,
) -> Value {
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut responses = json!({ "200": { "description": "Done", "content": content(reply) } });
    let of_bodies = body.iter().flat_map(|_| BODIES);
    let of_bodies = of_bodies.map(|(status, meaning)| (*status, (*meaning).to_owned()));
    for (status, meaning) in failures().into_iter().chain(of_bodies) {
        responses[status.to_string()] =
            json!({ "description": meaning, "content": content(problem.clone()) });
    }
    let mut operation = json!({
        "summary": route.summary,
        "operationId": format!("{}{}", route.method, route.path.replace(['/', '{', '}'], "_")),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = body {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
    }
    operation
}

/// Status and meaning of what is wrong with a body before anything is asked.
const BODIES: &[(u16, &str)] = &[
    (413, "bad request: the body is larger than 2 MiB"),
    (415, "bad request: the body is not said to be JSON"),
    (
        422,
        "bad request: the body is JSON, and not what is described",
    ),
];

/// Status and meaning, of all problem kinds.
fn failures() -> std::collections::BTreeMap<u16, String> {
    let mut failures = std::collections::BTreeMap::new();
    for kind in ProblemCode::ALL {
        let meaning: &mut String = failures.entry(kind.http_status()).or_default();
        if !meaning.is_empty() {
            meaning.push_str(", or ");
        }
        meaning.push_str(&kind.to_string());
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Committed, so that a change of the protocol is seen in review, and for whoever wants to
    /// know it without a daemon. `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_committed_document_is_what_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let text = format!("{:#}\n", document());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(text, expected, "UPDATE_GOLDEN=1 rewrites docs/openapi.json");
    }

    /// The values of what a field refers to, in the order of the list.
    fn listed(schema: &Value, document: &Value) -> Vec<String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            return listed(document.pointer(pointer).unwrap(), document);
        }
        let own = schema["enum"].as_array().into_iter().flatten();
        let named = schema.get("const").into_iter();
        let own = own
            .chain(named)
            .map(|word| word.as_str().unwrap().to_owned());
        let parts = ["anyOf", "oneOf"].map(|key| schema[key].as_array());
        let parts = parts.into_iter().flatten().flatten();
        let nested = parts.flat_map(|part| listed(part, document));
        own.chain(nested).collect()
    }

    #[test]
    fn fields_of_words_list_their_values() {
        let document = document();
        for (field, words) in [
            (
                "AttachRequest/purpose",
                "boot hot-plug migration-in restore",
            ),
            ("DiskRequest/access", "read-write read-only"),
            ("DiskRequest/sharing", "exclusive shared"),
            ("DiskRequest/path", "own lv"),
            (
                "ConfirmRequest/event",
                "start started stopped reconnect attach",
            ),
            ("CopyGrant/mode", "none writes-only background before-start"),
            ("CopyGrant/fate", "write-back keep discard"),
            ("AttachmentView/sharing", "exclusive shared"),
            (
                "AttachmentView/state",
                "intent attaching attached detaching quarantined",
            ),
            (
                "VolumeStatusView/word",
                "available held detaching attaching in-use fault",
            ),
            (
                "OperationElsewhere/mark",
                "new dying growing copying unknown",
            ),
            (
                "HydrationView/state",
                "hydrating complete writes-only returning stalled failed",
            ),
            ("PolicyView/level", "enforce monitor off"),
            (
                "PolicyView/state",
                "serving last-good rolled-back refused waiting off",
            ),
            (
                "FaultView/kind",
                "trap deadline memory stack hostcall log_flood link runtime",
            ),
            ("DecisionView/said", "granted advised denied faulted"),
            (
                "DecisionView/became",
                "begun interrupted done refused failed",
            ),
            ("PoolView/kind", "shared local"),
            ("PoolView/lock_type", "sanlock none"),
            ("PoolMember/state", "unknown free live fail dead"),
            ("VolumeView/home_state", "pool split node returning"),
            ("VolumeView/mark", "new dying growing copying unknown"),
            (
                "OperationView/operation",
                "create delete extend copy snapshot move rename relocate",
            ),
            (
                "OperationView/state",
                "waiting running taking-back done cancelled failed",
            ),
            ("DoctorCheck/verdict", "ok warning failed"),
        ] {
            let (schema, field) = field.split_once('/').unwrap();
            let found = &document["components"]["schemas"][schema]["properties"][field];
            let words: Vec<String> = words.split(' ').map(|w| w.replace('_', " ")).collect();
            assert_eq!(listed(found, &document), words, "{schema}.{field}");
        }
    }

    #[test]
    fn every_route_is_in_the_document_and_every_reference_resolves() {
        let document = document();
        for route in table() {
            assert!(
                document["paths"][route.path][route.method].is_object(),
                "{}",
                route.path
            );
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
