//! QEMU's monitor protocol, as far as the lab speaks it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::IoContext;
use crate::{LabError, Result};

/// No command we give takes longer; a migration is polled.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A conversation with one QEMU; it takes one at a time, so keep them short.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket `name` in `folder`.
    pub(crate) fn connect(folder: &Path, name: &str) -> io::Result<Self> {
        // A socket's path may have 107 bytes and a checkout's path more: go by the folder's
        // descriptor.
        let open_folder = File::open(folder)?;
        let path = format!("/proc/self/fd/{}/{name}", open_folder.as_raw_fd());
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.read()?;
        qmp.send(&json!({"execute": "qmp_capabilities"}))?;
        Ok(qmp)
    }

    /// Gives a command, answers what it returned.
    pub(crate) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({"execute": command});
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let mut answer = self.send(&request).at("talk to", Path::new("QMP"))?;
        match answer.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(LabError::Qmp {
                command: request.to_string(),
                answer: answer.to_string(),
            }),
        }
    }

    /// Gives a command of the human monitor, which has some that QMP lacks.
    pub(crate) fn human(&mut self, command: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", json!({"command-line": command}))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    fn send(&mut self, request: &Value) -> io::Result<Value> {
        self.stream
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())?;
        loop {
            let message = self.read()?;
            // Events come in between whenever they like.
            if message.get("event").is_none() {
                return Ok(message);
            }
        }
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}
