//! Plans and drift.

use postern_proto::v1::plan_step::Action;
use postern_proto::v1::{PlanStep, Repair};

use super::table;

/// The steps in their order.
pub(crate) fn table(steps: &[PlanStep]) -> String {
    if steps.is_empty() {
        return "nothing to do".to_owned();
    }
    let rows = steps
        .iter()
        .map(|step| [action(step.action()).to_owned(), step.kind.clone(), step.object.clone()]);
    table::table(["ACTION", "KIND", "OBJECT"], rows.collect())
}

/// The last repair, in short.
pub(crate) fn repair(repair: &Repair) -> String {
    let when = repair.time.map_or_else(String::new, |time| format!(" at {time}"));
    format!("\nrepaired by itself{when}:\n{}", table(&repair.steps))
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Unspecified => "?",
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::EndFlows => "end flows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_their_order() {
        let step = |action: Action, kind: &str, object: &str| PlanStep {
            action: action.into(),
            kind: kind.into(),
            object: object.into(),
        };
        let steps =
            [step(Action::Create, "bridge", "pst-1"), step(Action::EndFlows, "flows", "10.0.0.2")];
        assert_eq!(
            table(&steps),
            "ACTION      KIND     OBJECT\n\
             create      bridge   pst-1\n\
             end flows   flows    10.0.0.2"
        );
        assert_eq!(table(&[]), "nothing to do");
    }

    #[test]
    fn a_repair_says_when_and_what() {
        let step = PlanStep {
            action: Action::Update.into(),
            kind: "ruleset".into(),
            object: "nftables".into(),
        };
        let time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        assert_eq!(
            repair(&Repair { time, steps: vec![step] }),
            "\nrepaired by itself at 1970-01-01T00:00:00Z:\n\
             ACTION   KIND      OBJECT\n\
             update   ruleset   nftables"
        );
    }
}
