//! Policies: applied, deleted, expired, and read.

use std::time::Duration;

use postern_kernel::{Kernel, LiveFlows};
use postern_model::event::{Action, ObjectKind};
use postern_model::id::PolicyId;
use postern_model::intent::{ApplyPolicy, DeletePolicy, ListPolicies, Outcome};
use postern_model::name::Labels;
use postern_model::plan::Plan;
use postern_model::policy::{Policy, PolicySpec};
use postern_model::refusal::{Class, Refusal};
use postern_model::time::Timestamp;
use postern_model::topology::Put;
use postern_planner::policy::{Compiler, Delta, Impact, Lint, LintKind, PairChange};
use postern_server::{ImpactFacts, LintFacts, PageOf, PairFacts, PolicyFacts};

use super::locks::LockKey;
use super::query::page;
use super::state::Trial;
use super::{Core, Draft, Ledger, Retry, check, new_id, now, outcome, pending};

/// Most policies there can be.
const POLICIES_MAX: usize = 10_000;
/// Most elements that one change of policies may need.
const ELEMENTS_MAX: usize = 200_000;
/// Most live flows that are told by name.
const CUT_SHOWN: usize = 100;
/// How often policies are looked through for those that have expired.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);

pub(super) fn draft<'a>(policy: &Policy, action: Action, request: Option<&'a Retry>) -> Draft<'a> {
    let attributes = Labels::from([("tier".to_owned(), policy.spec.tier.to_string())]);
    Draft {
        kind: ObjectKind::Policy,
        action,
        uid: policy.id.to_string(),
        name: policy.name.to_string(),
        attributes,
        request,
    }
}

fn facts(compiler: &Compiler, policy: &Policy, flows_cut: usize) -> PolicyFacts {
    let lints = compiler.lint(policy).into_iter().map(lint).collect();
    let subjects = compiler.subjects(policy);
    PolicyFacts {
        policy: policy.clone(),
        subjects,
        flows_cut,
        lints,
        impact: ImpactFacts::default(),
        previous: None,
    }
}

fn lint(lint: Lint) -> LintFacts {
    let code = match lint.kind {
        LintKind::SelectsNothing => "SELECTS_NOTHING",
        LintKind::NotEnforced => "NOT_ENFORCED",
        LintKind::UnknownPeer => "UNKNOWN_PEER",
        LintKind::UnknownPort => "UNKNOWN_PORT",
        LintKind::UnreachableRule => "UNREACHABLE_RULE",
        LintKind::ShadowedRule => "SHADOWED_RULE",
        LintKind::DnsBlocked => "DNS_BLOCKED",
    };
    LintFacts { code, rule: lint.rule, text: lint.text }
}

fn pair(change: PairChange) -> PairFacts {
    let PairChange { from, to, family, what, allowed } = change;
    PairFacts { from, to, family, what, allowed }
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn apply_policy_now(
        &self,
        intent: ApplyPolicy,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<PolicyFacts>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let ApplyPolicy { name, spec, revision } = intent;
        let _policy = core.locks.write(LockKey::Policy(name.to_string())).await;
        let old = core.state().topology().find_policy(name.as_str()).cloned();
        check_revision(&name.to_string(), revision, old.as_ref())?;
        let mut new = match &old {
            Some(old) => Policy { spec, ..old.clone() },
            None => core.new_policy(name, spec)?,
        };
        if new.spec.expires.is_some_and(|expires| expires <= now()) {
            return Err(Refusal::field("spec.expire_time", "is past"));
        }
        if validate_only {
            let (topology, before) = {
                let state = core.state();
                (state.topology().clone(), state.policies().clone())
            };
            let trial = Trial::of((&topology, &before), &new, old.as_ref());
            check_size(&trial.delta)?;
            let previous = old.map(|old| old.spec);
            return core.rehearsed((new, previous), trial).await;
        }
        if let Some(membership) = &core.membership {
            membership.put_policy(&new).await?;
            new.shared = true;
        }
        let action = if old.is_some() { Action::Updated } else { Action::Created };
        let about = draft(&new, action, retry);
        match core.put_in_force(about, None, &mut new).await {
            Ok(flows_cut) => {
                self.log_flows();
                let facts = facts(core.state().policies(), &new, flows_cut);
                let object = PolicyFacts { previous: old.map(|old| old.spec), ..facts };
                Ok(Outcome { object, plan: None })
            }
            Err(refusal) => {
                core.take_policy_back(&new.name, old.as_ref()).await;
                Err(refusal)
            }
        }
    }

    pub(crate) async fn delete_policy_now(
        &self,
        intent: DeletePolicy,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<PolicyFacts>, Refusal> {
        self.delete_policy(intent, run, false).await
    }

    /// Deletes a policy; one that has ended here though the other hosts cannot be told.
    async fn delete_policy(
        &self,
        intent: DeletePolicy,
        (retry, validate_only): (Option<&Retry>, bool),
        ended: bool,
    ) -> Result<Outcome<PolicyFacts>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let name = check::policy(core.state().topology(), &intent.policy)?.name.to_string();
        let _policy = core.locks.write(LockKey::Policy(name)).await;
        let policy = check::policy(core.state().topology(), &intent.policy)?.clone();
        if validate_only {
            // On a copy, so that nobody waits.
            let (topology, mut policies) = {
                let state = core.state();
                (state.topology().clone(), state.policies().clone())
            };
            let object = facts(&policies, &policy, 0);
            let delta = policies.update(&topology, &[Put::PolicyGone(policy.id)]);
            let plan = Plan { remove: delta.remove, add: delta.add, ..Plan::default() };
            return Ok(Outcome { object, plan: Some(plan) });
        }
        if let Some(membership) = core.membership.as_ref().filter(|_| policy.shared) {
            match membership.delete_policy(&policy.name).await {
                Err(refusal) if !ended => return Err(refusal),
                _ => {}
            }
        }
        let about = vec![draft(&policy, Action::Deleted, retry)];
        let gone = vec![Put::PolicyGone(policy.id)];
        let mut committed = core.commit(about, &Plan::default(), |_| gone)?;
        // Not withdrawn: the next reconciliation removes what is left.
        let realized = core.realize(&mut committed).await;
        core.settle(committed);
        self.log_flows();
        realized.map(|flows_cut| Outcome {
            object: facts(core.state().policies(), &policy, flows_cut),
            plan: None,
        })
    }

    /// Deletes policies as they expire, lets names go whose time is over, and sees to it that flows are logged as they ask.
    /// Ends only with the task it runs in.
    pub(crate) async fn keep_expired(self) {
        loop {
            self.log_flows();
            tokio::time::sleep(EXPIRY_CHECK).await;
            self.0.lapse_names().await;
            let now: Timestamp = now();
            let past = |policy: &&Policy| policy.spec.expires.is_some_and(|time| time <= now);
            let expired: Vec<PolicyId> = {
                let state = self.0.state();
                state.topology().policies().filter(past).map(|policy| policy.id).collect()
            };
            for id in expired {
                let intent = DeletePolicy { policy: id.to_string() };
                match self.delete_policy(intent, (None, false), true).await {
                    Ok(gone) => tracing::info!(policy = %gone.object.policy.name, "expired"),
                    Err(refusal) if refusal.class == Class::NotFound => {}
                    Err(refusal) => tracing::error!(%refusal, "an expired policy stays"),
                }
            }
        }
    }

    /// The facts themselves; other mutations answer with records.
    #[expect(clippy::unused_self, reason = "in the form of its siblings")]
    pub(crate) fn same<T: Clone>(&self, facts: &T) -> T {
        facts.clone()
    }

    pub(crate) fn policy(&self, reference: &str) -> Result<PolicyFacts, Refusal> {
        let state = self.0.state();
        let policy = check::policy(state.topology(), reference)?;
        Ok(facts(state.policies(), policy, 0))
    }

    pub(crate) fn policies(&self, query: &ListPolicies) -> PageOf<PolicyFacts> {
        let state = self.0.state();
        let matching = state.topology().policies().filter(|policy| {
            let (name, uid) = (policy.name.as_str(), policy.id.to_string());
            query.filter.matches(name, &uid, &policy.spec.labels)
        });
        page(matching, |p| p.name.as_str(), &query.page, |p| facts(state.policies(), p, 0))
    }
}

impl<K: Kernel> Core<K> {
    /// The answer to a request that changes nothing: what would become of whom.
    async fn rehearsed(
        &self,
        (policy, previous): (Policy, Option<PolicySpec>),
        trial: Trial,
    ) -> Result<Outcome<PolicyFacts>, Refusal> {
        let Trial { delta, subjects, lints, impact, after } = trial;
        let live = self.kernel.flows(delta.narrowed.clone()).await;
        let LiveFlows { flows, host } = live.map_err(|error| outcome::of_observe(&error))?;
        let cut: Vec<String> = {
            let state = self.state();
            let cut = flows.iter().filter(|tracked| {
                let flow = pending::flow(tracked, &host);
                !after.judge(state.topology(), &flow).passes
            });
            cut.map(ToString::to_string).collect()
        };
        let Impact { changes, truncated } = impact;
        let object = PolicyFacts {
            policy,
            subjects,
            flows_cut: cut.len(),
            lints: lints.into_iter().map(lint).collect(),
            impact: ImpactFacts {
                changes: changes.into_iter().map(pair).collect(),
                truncated,
                cut: cut.into_iter().take(CUT_SHOWN).collect(),
            },
            previous,
        };
        let plan = Plan { remove: delta.remove, add: delta.add, ..Plan::default() };
        Ok(Outcome { object, plan: Some(plan) })
    }

    /// Puts a policy in force here, in the place of another one if it says so; there is no moment
    /// without one. Returns how many flows that cut.
    pub(super) async fn put_in_force(
        &self,
        about: Draft<'_>,
        other: Option<PolicyId>,
        new: &mut Policy,
    ) -> Result<usize, Refusal> {
        let puts = |generation| {
            new.revision = generation;
            let gone = other.map(Put::PolicyGone);
            gone.into_iter().chain([Put::Policy(Box::new(new.clone()))]).collect()
        };
        self.carry_out(about, &Plan::default(), puts, Plan::default).await
    }

    /// Tells other hosts that a policy came to nothing here.
    async fn take_policy_back(&self, name: &postern_model::name::Name, old: Option<&Policy>) {
        let Some(membership) = &self.membership else { return };
        let told = match old {
            Some(old) => membership.put_policy(old).await,
            None => membership.delete_policy(name).await,
        };
        if let Err(refusal) = told {
            tracing::error!(policy = %name, %refusal, "other hosts have a change that came to nothing here");
        }
    }

    fn new_policy(
        &self,
        name: postern_model::name::Name,
        spec: PolicySpec,
    ) -> Result<Policy, Refusal> {
        if self.state().topology().policies().count() >= POLICIES_MAX {
            let text = format!("there are {POLICIES_MAX} policies, the most there can be");
            return Err(Refusal::new(Class::Exhausted, "TOO_MANY_POLICIES", text));
        }
        Ok(Policy {
            id: PolicyId::new(new_id()),
            name,
            revision: 0,
            created: now(),
            spec,
            shared: false,
        })
    }
}

fn check_revision(name: &str, wanted: Option<u64>, old: Option<&Policy>) -> Result<(), Refusal> {
    let is = old.map_or(0, |policy| policy.revision);
    match wanted {
        Some(wanted) if wanted != is => {
            let text = format!("policy `{name}` is at revision {is}, not {wanted}");
            let refusal = Refusal::new(Class::Aborted, "STALE_REVISION", text);
            Err(refusal.about(ObjectKind::Policy, name).at("revision"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_size(delta: &Delta) -> Result<(), Refusal> {
    let needed = delta.add.len();
    if needed <= ELEMENTS_MAX {
        return Ok(());
    }
    let text = format!("the policy needs {needed} entries, at most {ELEMENTS_MAX} are allowed");
    Err(Refusal::new(Class::Exhausted, "POLICY_TOO_LARGE", text))
}
