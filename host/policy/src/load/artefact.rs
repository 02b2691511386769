//! Compiled policies. A compiled artefact is native code that runs in the daemon: it is loaded
//! only from a folder that root alone can write, where only the daemon puts what its own compiler
//! made of a component it had hashed itself. Beside each lies its SHA-256: a disk that turns a bit is
//! not to run as root.

use std::collections::BTreeSet;
use std::io;

use volward_folder::Folder;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::digest as digest_of;
use crate::load::compiler::CompileError;
use crate::load::trusted::{self, TrustError};
use crate::run::engine::CODE_SETTINGS;

/// Native code is some five times as big as the component it came from.
const ARTEFACT_BYTES: u64 = 512 << 20;

/// Why there is no artefact.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// The cache is not to be trusted.
    #[error("the cache of compiled policies cannot be used")]
    Cache(#[source] TrustError),
    /// It did not compile.
    #[error(transparent)]
    Compile(CompileError),
    /// Nothing is compiled while a daemon starts.
    #[error("it is compiled next: ask again in a moment")]
    Next,
    /// Others took what time there was for compiling.
    #[error(
        "compiling other policies took more than {seconds} s; it is compiled at the next load, which begins by itself"
    )]
    NoTurn {
        /// What all compiles of one load may take.
        seconds: u64,
    },
    /// What the compiler made is not for this engine.
    #[error(
        "the compiled policy does not fit this daemon ({reason}): is volward-policy of the same version?"
    )]
    Unfit {
        /// wasmtime's reason.
        reason: String,
    },
}

/// Compiles a component, or says why not.
pub(crate) type CompileIt<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, ArtefactError>;

/// Of the files in the cache.
const ENDING: &str = ".cwasm";
/// Of the files with their SHA-256, in hex.
const SUM_ENDING: &str = ".sha256";
/// A SHA-256 in hex.
const SUM_BYTES: u64 = 64;

fn artefact_file(digest: &str, ending: &str) -> String {
    format!("{digest}-{CODE_SETTINGS}{ending}")
}

/// The cache.
pub(crate) struct Cache {
    folder: Folder,
    owner: u32,
}

impl Cache {
    /// A cache in a folder that must be writable by `owner` only when it is used.
    pub(crate) fn new(folder: Folder, owner: u32) -> Self {
        Self { folder, owner }
    }

    /// The compiled form of a component: from the cache, or compiled and put there. Where the disk
    /// fails it is used all the same, and compiled again the next time.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        compiler: CompileIt<'_>,
        component: &[u8],
        digest: &str,
    ) -> Result<Component, ArtefactError> {
        match self.read(digest) {
            Ok(Some(bytes)) => match deserialize(engine, &bytes) {
                Ok(component) => return Ok(component),
                // Another version's or another processor's: normal after an update.
                Err(error) => tracing::info!(%digest, %error, "compiling a policy again"),
            },
            Ok(None) => {}
            // What cannot be read need not be: nobody else's code is run for it.
            Err(error @ TrustError::Io { .. }) => {
                tracing::error!(%digest, %error, "a compiled policy cannot be read");
            }
            Err(other) => return Err(ArtefactError::Cache(other)),
        }
        let (bytes, compiled) = compile(engine, compiler, component)?;
        // One without the other is no artefact, whichever a crash leaves.
        let sum = digest_of(&bytes);
        let kept = [(ENDING, &*bytes), (SUM_ENDING, sum.as_bytes())]
            .into_iter()
            .try_for_each(|(ending, bytes)| {
                trusted::replace(&self.folder, &artefact_file(digest, ending), bytes)
            });
        if let Err(error) = kept {
            let path = self.folder.path_of(artefact_file(digest, ENDING));
            let path = path.display();
            tracing::error!(%path, %error, "a compiled policy cannot be kept; it is used all the same");
        }
        Ok(compiled)
    }

    /// The artefact of a component, if it is what was written.
    fn read(&self, digest: &str) -> Result<Option<Vec<u8>>, TrustError> {
        trusted::owned(&self.folder, self.owner)?;
        let file = |ending: &str, limit| {
            let name = artefact_file(digest, ending);
            match trusted::file(&self.folder, &name, self.owner, limit) {
                Err(TrustError::Missing(_)) => Ok(None),
                other => other.map(Some),
            }
        };
        let Some(artefact) = file(ENDING, ARTEFACT_BYTES)? else {
            return Ok(None);
        };
        match file(SUM_ENDING, SUM_BYTES) {
            Ok(Some(sum)) if sum == digest_of(&artefact).as_bytes() => Ok(Some(artefact)),
            // Versions before wrote none.
            Ok(None) => Ok(None),
            Ok(Some(_)) | Err(TrustError::Size { .. }) => {
                let path = self.folder.path_of(artefact_file(digest, ENDING));
                let path = path.display();
                tracing::error!(%path, "a compiled policy is not what was written there: the daemon \
                     ended while it wrote, or the disk fails; it is compiled again");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Removes the artefacts of all other components, those that an earlier daemon made with other
    /// settings, and what a killed writer left.
    pub(crate) fn keep_only(&self, digests: &BTreeSet<&str>) -> io::Result<()> {
        for name in self.folder.names()? {
            let Some(name) = name.to_str() else {
                continue;
            };
            let artefact = name
                .strip_suffix(ENDING)
                .or_else(|| name.strip_suffix(SUM_ENDING));
            let used = artefact
                .and_then(|name| name.strip_suffix(CODE_SETTINGS)?.strip_suffix('-'))
                .is_some_and(|digest| digests.contains(digest));
            if trusted::is_left(name) || (artefact.is_some() && !used) {
                self.folder.dir().remove_file(name)?;
            }
        }
        Ok(())
    }

    /// The compiled form of a component where nothing is kept.
    pub(crate) fn without(
        engine: &Engine,
        compiler: CompileIt<'_>,
        component: &[u8],
    ) -> Result<Component, ArtefactError> {
        compile(engine, compiler, component).map(|(_, compiled)| compiled)
    }
}

fn compile(
    engine: &Engine,
    compiler: CompileIt<'_>,
    component: &[u8],
) -> Result<(Vec<u8>, Component), ArtefactError> {
    let bytes = compiler(component)?;
    let compiled = deserialize(engine, &bytes).map_err(|error| ArtefactError::Unfit {
        reason: error.root_cause().to_string(),
    })?;
    Ok((bytes, compiled))
}

/// wasmtime checks that version, settings and processor fit; that the bytes are what a compiler
/// made, it cannot check.
#[expect(
    unsafe_code,
    reason = "the one place where compiled policies become code"
)]
fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from our own compiler (through `Compiler`), or from a file that only
    // the owner can write, in a folder that only the owner can write, both checked on the opened
    // file; nothing else puts files there.
    unsafe { Component::deserialize(engine, artefact) }
}
