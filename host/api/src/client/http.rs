//! Just enough HTTP/1.1: one request, one response, then the connection is closed.

use std::time::Duration;

use super::connection::Connection;
use super::error::WireError;

/// No answer of ours is near this; a bound keeps a mad peer from filling our memory.
const MAX_RESPONSE: usize = 64 << 20;
/// More headers than any server of ours sends.
const MAX_HEADERS: usize = 64;

/// A response with its body, which may have come in chunks, put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How the body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    ToEnd,
}

struct Head {
    status: u16,
    framing: Framing,
    /// Index of the body's first byte in what was read.
    end: usize,
}

/// The whole request as bytes. `patience` is how long the answer is waited for, told in the words of RFC 7240:
/// who is told in time that it will take longer knows why he was refused.
pub(super) fn request(
    method: &str,
    target: &str,
    body: Option<&[u8]>,
    patience: Duration,
) -> Vec<u8> {
    let mut out = format!(
        "{method} {target} HTTP/1.1\r\nHost: volward\r\nAccept: application/json\r\n\
         Prefer: wait={}\r\nConnection: close\r\n",
        patience.as_secs()
    )
    .into_bytes();
    if let Some(body) = body {
        let head = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        out.extend_from_slice(head.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.unwrap_or_default());
    out
}

/// Sends the request and reads the response.
pub(super) fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Response, WireError> {
    connection.send(request)?;
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(head) = parse_head(&bytes)? {
            break head;
        }
        if more(connection, &mut bytes)? == 0 {
            return Err(broken("the connection ended before the answer"));
        }
    };
    let mut body = bytes.split_off(head.end);
    loop {
        if let Some(body) = complete(head.framing, &mut body)? {
            return Ok(Response {
                status: head.status,
                body,
            });
        }
        if more(connection, &mut body)? == 0 {
            return match head.framing {
                Framing::ToEnd => Ok(Response {
                    status: head.status,
                    body,
                }),
                _ => Err(broken("the connection ended in the middle of the answer")),
            };
        }
    }
}

fn more(connection: &mut Connection, bytes: &mut Vec<u8>) -> Result<usize, WireError> {
    if bytes.len() > MAX_RESPONSE {
        return Err(broken("it is larger than 64 MiB"));
    }
    connection.receive(bytes)
}

fn broken(reason: &str) -> WireError {
    WireError::Broken(reason.to_owned())
}

/// The head, once it is there as a whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, WireError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response
        .parse(bytes)
        .map_err(|e| WireError::Broken(format!("it is no HTTP response: {e}")))?;
    let httparse::Status::Complete(end) = parsed else {
        return Ok(None);
    };
    let status = response.code.ok_or_else(|| broken("it has no status"))?;
    let mut framing = Framing::ToEnd;
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.trim().eq_ignore_ascii_case("chunked") {
                return Err(WireError::Broken(format!("unknown encoding {value:?}")));
            }
            framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-length") && framing != Framing::Chunked
        {
            let length = value
                .trim()
                .parse()
                .map_err(|_| WireError::Broken(format!("bad length {value:?}")))?;
            framing = Framing::Length(length);
        }
    }
    if status == 204 {
        framing = Framing::Length(0);
    }
    Ok(Some(Head {
        status,
        framing,
        end,
    }))
}

/// The body, once it is there as a whole; a body that ends with the connection never is, here.
fn complete(framing: Framing, bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>, WireError> {
    match framing {
        Framing::Length(length) if length > MAX_RESPONSE => Err(broken("it is larger than 64 MiB")),
        Framing::Length(length) if bytes.len() >= length => {
            bytes.truncate(length);
            Ok(Some(std::mem::take(bytes)))
        }
        Framing::Length(_) | Framing::ToEnd => Ok(None),
        Framing::Chunked => dechunk(bytes),
    }
}

/// Joins the chunks, once the last one is there.
fn dechunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
    let mut body = Vec::new();
    loop {
        let Ok(status) = httparse::parse_chunk_size(bytes) else {
            return Err(broken("a chunk's length is no number"));
        };
        let httparse::Status::Complete((head, length)) = status else {
            return Ok(None);
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= MAX_RESPONSE)
            .ok_or_else(|| broken("it is larger than 64 MiB"))?;
        // A chunk is followed by an empty line's end.
        let Some(chunk) = bytes.get(head..head + length + 2) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..length]);
        bytes = &bytes[head + length + 2..];
    }
}

/// A value for a query, every byte that is not plainly harmless escaped.
pub(super) fn query_value(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|n| char::from(HEX[usize::from(n)]));
            out.push('%');
            out.extend(digits);
        }
    }
    out
}

/// The beginning of a body that was not understood.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(120).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_carry_their_length() {
        let minute = Duration::from_secs(60);
        let bytes = request("POST", "/v1/attach", Some(b"{}"), minute);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("POST /v1/attach HTTP/1.1\r\n"));
        assert!(text.contains("\r\nPrefer: wait=60\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 2\r\n\r\n{}"));
    }

    #[test]
    fn a_head_in_pieces_is_waited_for() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert!(parse_head(&whole[..20]).unwrap().is_none());
        let head = parse_head(whole).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Length(3));
        assert_eq!(&whole[head.end..], b"abc");
    }

    #[test]
    fn chunks_are_joined_and_broken_ones_refused() {
        assert_eq!(
            dechunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap(),
            Some(b"abcde".to_vec())
        );
        assert_eq!(dechunk(b"3\r\nab").unwrap(), None);
        assert!(dechunk(b"zz\r\n").is_err());
        assert!(dechunk(b"fffffffffffffff\r\n").is_err());
    }

    #[test]
    fn plus_and_slash_do_not_survive_in_a_query() {
        assert_eq!(query_value("vg+0/a b"), "vg%2B0%2Fa%20b");
    }
}
