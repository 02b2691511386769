//! What the person at virsh reads: libvirt puts the hook's stderr into its error.

use std::io::Write;

use volward_api::{ClientError, Problem, ProblemCode};

/// Characters of a line: what an attribute is called can be megabytes, and libvirt keeps all of it.
const LONGEST: usize = 4_000;

/// One line on stderr. Control characters become spaces: some of the text comes from policies and
/// from whoever wrote the domain XML.
pub(crate) fn line(text: &str) {
    let shown = text.chars().take(LONGEST);
    let mut shown: String = shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str(" ...");
    }
    // If nobody reads it there is nobody to tell.
    drop(writeln!(std::io::stderr(), "volward: {shown}"));
}

/// A failed call. `outcome` says what it means for the guest: `guest web1 was not started`.
pub(crate) fn failure(outcome: &str, error: &ClientError) {
    match error {
        ClientError::Problem(problem) => the_problem(outcome, problem),
        ClientError::NoDaemon { .. } => line(&format!(
            "{error}: start it with `systemctl start volwardd`; {outcome}"
        )),
        ClientError::TimedOut { .. } => line(&format!(
            "{error}: look at `volward doctor` and `journalctl -u volwardd`; {outcome}"
        )),
        _ => line(&format!("{error}; {outcome}")),
    }
}

fn the_problem(outcome: &str, problem: &Problem) {
    line(&format!(
        "{outcome} ({}): {}",
        word(problem),
        problem.message
    ));
    for detail in &problem.details {
        line(&format!("  {detail}"));
    }
    if let Some(ms) = problem.retry_after_ms {
        line(&format!("try again in {} s", ms.div_ceil(1000)));
    }
    if let Some(request) = &problem.request {
        line(&format!("why: volward explain {request}"));
    }
}

/// The kind and, where it says more, the code.
fn word(problem: &Problem) -> String {
    match problem.kind.known() {
        None | Some(ProblemCode::Denied | ProblemCode::Refused | ProblemCode::Faulted) => {
            format!("{}, {}", problem.kind, problem.code)
        }
        Some(kind) => kind.to_string(),
    }
}
