//! The host's end of the node's command agent (guest/agent): one TCP connection per request, so
//! that any number of commands run on a node at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// What a script on a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 137 when it was killed.
    pub status: i32,
    /// What it wrote to stdout (invalid UTF-8 replaced).
    pub stdout: String,
    /// What it wrote to stderr (invalid UTF-8 replaced).
    pub stderr: String,
}

impl Output {
    /// Whether the script ended with 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }
}

/// The node kills the script at its deadline; what comes on top is for the answer to travel.
const GRACE: Duration = Duration::from_secs(20);

/// Runs a script under `sh`, killed after `deadline`.
pub(crate) fn run(port: u16, script: &str, deadline: Duration) -> io::Result<Output> {
    let seconds = deadline.as_secs().max(1);
    let header = format!("run {} {seconds}\n", script.len());
    request(port, &header, script.as_bytes(), deadline + GRACE)
}

/// Writes a file with these permissions, folders included.
pub(crate) fn put(port: u16, path: &str, mode: u32, content: &[u8]) -> io::Result<Output> {
    let header = format!("put {} {mode:o} {path}\n", content.len());
    request(port, &header, content, GRACE * 3)
}

fn request(port: u16, header: &str, body: &[u8], patience: Duration) -> io::Result<Output> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(header.as_bytes())?;
    stream.write_all(body)?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    stream.read_line(&mut head)?;
    let [status, out, err] = parse_head(&head).ok_or_else(|| {
        let problem = format!("the agent answered {head:?}");
        io::Error::new(io::ErrorKind::InvalidData, problem)
    })?;
    let mut take = |count: i64| -> io::Result<String> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        stream.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Output {
        stdout: take(out)?,
        stderr: take(err)?,
        status: i32::try_from(status).unwrap_or(-1),
    })
}

fn parse_head(head: &str) -> Option<[i64; 3]> {
    let mut numbers = head.split_whitespace().map(|word| word.parse().ok());
    let found = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_three_numbers() {
        assert_eq!(parse_head("5 10 0\n"), Some([5, 10, 0]));
        assert_eq!(parse_head(""), None);
        assert_eq!(parse_head("5 10\n"), None);
        assert_eq!(parse_head("5 10 0 1\n"), None);
    }
}
