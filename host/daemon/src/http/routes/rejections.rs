//! What the router itself refuses, as problems.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use volward_api::ProblemCode;

use crate::http::problem::plain;

pub(super) async fn other_method(method: Method) -> Response {
    let message = format!("{method} is not served at this path; GET /openapi.json lists what is");
    let problem = plain(ProblemCode::BadRequest, "bad-request", message);
    (StatusCode::METHOD_NOT_ALLOWED, Json(problem)).into_response()
}

/// axum's own refusals (a body that is no JSON, say) are text; ours are problems.
pub(super) async fn plain_rejections(response: Response) -> Response {
    let json = response
        .headers()
        .get("content-type")
        .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !response.status().is_client_error() || json {
        return response;
    }
    let status = response.status();
    let (_, body) = response.into_parts();
    let text = axum::body::to_bytes(body, 64 << 10)
        .await
        .unwrap_or_default();
    let message = match String::from_utf8_lossy(&text) {
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => {
            "the request's body is larger than 2 MiB, and more is not read".to_owned()
        }
        text if text.is_empty() => status.to_string(),
        text => not_understood(&text),
    };
    let kind = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        _ => ProblemCode::BadRequest,
    };
    (status, Json(plain(kind, "bad-request", message))).into_response()
}

/// What is wrong with a body or a query, in words for the caller: axum's begin with its own types.
fn not_understood(text: &str) -> String {
    let beginnings = [
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to parse the request body as JSON: ",
        "Failed to deserialize query string: ",
    ];
    let what = beginnings.iter().find_map(|b| text.strip_prefix(b));
    let Some(what) = what else {
        return text.to_owned();
    };
    // All that serde says of a byte order mark, or of UTF-16.
    let encoding = match what.ends_with("expected value at line 1 column 1") {
        true => "; a body is JSON in UTF-8, without a byte order mark",
        false => "",
    };
    format!("the request is not understood: {what}{encoding}")
}
