//! The baseline's policy in Rego, in the crate regorus. It is compiled once; it has two ways to
//! run what it compiled, and both are shown.

use anyhow::{Context, bail, ensure};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Value};
use serde_json::json;
use volward_model::{Answer, Combined, Facts};
use volward_policy::Chain;

use super::request;

const POLICY: &str = include_str!("baseline.rego");
const ENTRY: &str = "data.volward.baseline.decision";

/// Ready to be asked.
pub(super) struct Rego {
    /// Walks the policy's tree.
    interpreter: Engine,
    /// Runs the policy's bytecode.
    machine: RegoVM,
}

impl Rego {
    /// # Errors
    /// If the policy does not compile.
    pub(super) fn new() -> anyhow::Result<Self> {
        Self::of(POLICY)
    }

    fn of(policy: &str) -> anyhow::Result<Self> {
        let mut interpreter = Engine::new();
        interpreter.add_policy("baseline.rego".to_owned(), policy.to_owned())?;
        let compiled = interpreter.compile_with_entrypoint(&ENTRY.into())?;
        let program = Compiler::compile_from_policy(&compiled, &[ENTRY])?;
        let mut machine = RegoVM::new_with_policy(compiled);
        machine.load_program(program);
        Ok(Self {
            interpreter,
            machine,
        })
    }

    /// By the interpreter: takes the input and evaluates.
    ///
    /// # Errors
    /// If the policy breaks.
    pub(super) fn interpret(&mut self, input: &Value) -> anyhow::Result<Value> {
        self.interpreter.set_input(input.clone());
        self.interpreter.eval_rule(ENTRY.to_owned())
    }

    /// By the bytecode machine: takes the input and evaluates.
    ///
    /// # Errors
    /// If the policy breaks.
    pub(super) fn run(&mut self, input: &Value) -> anyhow::Result<Value> {
        self.machine.set_input(input.clone());
        Ok(self.machine.execute_entry_point_by_index(0)?)
    }
}

/// Facts as regorus takes them: through JSON, which is how it is handed anything.
///
/// # Errors
/// If they are no JSON.
pub(super) fn input(facts: &Facts) -> anyhow::Result<Value> {
    Value::from_json_str(&serde_json::to_string(facts)?)
}

/// Asks both about requests of every kind; a figure that compares different policies would say
/// nothing.
///
/// # Errors
/// On which request they differ.
pub(super) fn decide_alike(rego: &mut Rego, baseline: &Chain) -> anyhow::Result<()> {
    let (mut granted, mut denied) = (0, 0);
    for (what, facts) in request::all()? {
        let ours = baseline.attach(&facts).combined;
        match ours {
            Combined::Granted(_) => granted += 1,
            _ => denied += 1,
        }
        let input = input(&facts)?;
        for theirs in [rego.interpret(&input)?, rego.run(&input)?] {
            same(&ours, &serde_json::to_value(&theirs)?)
                .with_context(|| format!("a request ({what}) is decided differently in Rego"))?;
        }
    }
    ensure!(
        granted > 1 && denied > 1,
        "{granted} requests were granted and {denied} denied: that compares too little"
    );
    Ok(())
}

fn same(ours: &Combined, theirs: &serde_json::Value) -> anyhow::Result<()> {
    match ours {
        Combined::Granted(answer) => {
            let answer = json!({ "disks": disks(answer) });
            ensure!(answer == *theirs, "{answer} here, {theirs} there");
        }
        Combined::Denied(denials) => {
            // The baseline ends at its first reason, Rego finds all of them.
            let all = theirs["denials"].as_array();
            let all = all.with_context(|| format!("denied here, {theirs} there"))?;
            for (_, denial) in denials {
                let reason = json!({ "code": denial.code, "message": denial.message });
                ensure!(all.contains(&reason), "{reason} here, {theirs} there");
            }
        }
        other => bail!("the baseline answered {other:?}"),
    }
    Ok(())
}

fn disks(answer: &Answer) -> Vec<serde_json::Value> {
    let each = answer.disks.iter().map(|disk| {
        let copy = disk.granted_copy();
        let copy = copy.map_or("none".to_owned(), |copy| copy.mode.to_string());
        json!({
            "volume": disk.volume,
            "sharing": disk.sharing,
            "access": disk.access,
            "copy": copy,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use volward_policy::{BASELINE, Limits, Runtime, Settings};
    use volward_workbench::InProcess;
    use volward_workbench::chain::BASELINE_COMPONENT;

    use super::*;

    #[test]
    fn a_policy_that_differs_in_one_rule_is_noticed() {
        let compiler = Box::new(InProcess::new().unwrap());
        let runtime = Runtime::new(Limits::default(), None, 0, compiler).unwrap();
        let baseline = [(BASELINE, BASELINE_COMPONENT, &Settings::default())];
        let baseline = runtime.assemble(baseline);
        decide_alike(&mut Rego::of(POLICY).unwrap(), &baseline).unwrap();
        for (rule, other) in [
            ("not disk.shareable", "disk.shareable"),
            ("held.state != \"intent\"", "held.state != \"attached\""),
            ("not migrates(held)", "true"),
            ("held.sharing == \"exclusive\"\n\n", "false\n\n"),
            ("\"sharing\": disk.asked_sharing", "\"sharing\": \"shared\""),
            ("\"copy\": \"none\"", "\"copy\": \"background\""),
            ("is attached", "is held"),
        ] {
            let changed = POLICY.replace(rule, other);
            assert_ne!(changed, POLICY, "{rule}");
            let mut changed = Rego::of(&changed).unwrap();
            assert!(decide_alike(&mut changed, &baseline).is_err(), "{rule}");
        }
    }
}
