//! How long a caller waits for his answer: he may say so in the header `Prefer: wait=SECONDS` (RFC 7240).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

/// Of a caller who says nothing. Less than the hook of 0.1.0 waits, which is a minute.
pub(super) const UNTOLD: Duration = Duration::from_secs(20);
/// Whoever would wait longer is told to ask again: nothing that is served at all takes so long.
const LONGEST: Duration = Duration::from_secs(600);
/// An answer that comes at the last moment comes too late.
const MARGIN: Duration = Duration::from_secs(2);

/// How long a place is waited for, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").into_iter();
        let words = values.filter_map(|value| value.to_str().ok());
        let mut preferences = words.flat_map(|words| words.split([',', ';']));
        let seconds = preferences.find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let is_wait = name.trim().eq_ignore_ascii_case("wait");
            is_wait.then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
        });
        let told = |seconds| {
            Duration::from_secs(seconds)
                .min(LONGEST)
                .saturating_sub(MARGIN)
        };
        Self(seconds.map_or(UNTOLD, told))
    }
}

impl<S: Sync> FromRequestParts<S> for Patience {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_says_how_long_he_waits_and_who_does_not_is_thought_impatient() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("prefer", value.parse().unwrap());
            }
            Patience::of(&headers).0.as_secs()
        };
        assert_eq!(of(&[]), 20);
        assert_eq!(of(&["wait=60"]), 58);
        assert_eq!(of(&["respond-async, Wait = \"30\""]), 28);
        assert_eq!(of(&["handling=strict", "wait=5"]), 3);
        assert_eq!(of(&["wait=1"]), 0);
        assert_eq!(of(&["wait=999999"]), 598);
        for nonsense in ["wait", "wait=-1", "wait=soon", "await=3"] {
            assert_eq!(of(&[nonsense]), 20, "{nonsense}");
        }
    }
}
