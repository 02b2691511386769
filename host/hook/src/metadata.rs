//! What the guest's `<metadata>` asks of Volward:
//!
//! ```xml
//! <volward:instance xmlns:volward="https://volward.dev/xmlns/domain/1">
//!   <volward:hint key="tenant" value="blue"/>
//!   <volward:disk target="vdb" accept-narrowing="yes"/>
//! </volward:instance>
//! ```

/// The namespace; the prefix is anybody's choice.
pub(crate) const NAMESPACE: &str = "https://volward.dev/xmlns/domain/1";

/// What the guest's `volward:instance` element says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// Pairs of key and value for policies, in any words.
    pub(crate) hints: Vec<(String, String)>,
    /// Targets (`vdb`) for which less than was asked for is accepted.
    pub(crate) accept_narrowing: Vec<String>,
    /// What could not be understood, a sentence each.
    pub(crate) troubles: Vec<String>,
}

impl Metadata {
    /// One child element of `instance`.
    pub(crate) fn add(&mut self, element: &str, attributes: &[(String, String)]) {
        if let Err(trouble) = self.try_add(element, attributes) {
            self.troubles
                .push(format!("in the <metadata>'s {element} element: {trouble}"));
        }
    }

    fn try_add(&mut self, element: &str, attributes: &[(String, String)]) -> Result<(), String> {
        match element {
            "hint" => {
                let [key, value] = take(attributes, ["key", "value"])?;
                self.hints.push((key, value));
            }
            "disk" => {
                let [target, accept] = take(attributes, ["target", "accept-narrowing"])?;
                match accept.as_str() {
                    "yes" => self.accept_narrowing.push(target),
                    "no" => {}
                    other => {
                        return Err(format!("accept-narrowing is \"{other}\", not yes or no"));
                    }
                }
            }
            _ => return Err("there is no such element, only hint and disk".to_owned()),
        }
        Ok(())
    }
}

/// Exactly these attributes; a typo must not pass as silence.
fn take<const N: usize>(
    attributes: &[(String, String)],
    names: [&str; N],
) -> Result<[String; N], String> {
    if let Some((other, _)) = attributes
        .iter()
        .find(|(k, _)| !names.contains(&k.as_str()))
    {
        return Err(format!("unknown attribute {other}"));
    }
    let mut values = [const { String::new() }; N];
    for (value, name) in values.iter_mut().zip(names) {
        let found = attributes.iter().find(|(k, _)| k == name);
        let (_, text) = found.ok_or_else(|| format!("the attribute {name} is missing"))?;
        value.clone_from(text);
    }
    Ok(values)
}
