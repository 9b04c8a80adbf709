//! The demo's chapter on policies: one denies, explains itself, and is lifted.

use crate::process::Failure;

use super::stage::HOST;
use super::story::Teller;

const FILE: &str = "/run/web.yaml";

const POLICY: &str = "\
name: web
spec:
  subject: {endpoints: {matchLabels: {app: web}}}
  ingress:
    - id: friends
      peers: [{selector: {endpoints: {matchLabels: {role: friend}}}}]
      ports: [{port: 80}]
";

impl Teller<'_> {
    pub(super) fn policies(&mut self) -> Result<(), Failure> {
        self.report.chapter("Who may talk to whom");
        let (inside, published) = ("http://10.20.0.10/", format!("http://{HOST}:8080/"));
        self.does("sandbox update web --label-add app=web", "`web` has a label")?;
        self.report.command("host", &format!("cat {FILE}"));
        self.report.output(POLICY);
        std::fs::write(FILE, POLICY).map_err(|error| Failure::during(FILE, error))?;
        self.does(&format!("policy apply -f {FILE}"), "`web` is isolated before the call returns")?;
        let done = self.stage.fetch_in("client", inside)?;
        self.unanswered("client", inside, &done, "it is no friend");
        let done = self.stage.fetch_outside(&published)?;
        self.unanswered("outside", &published, &done, "a published port is no exception");
        let why = self.shows("explain client web tcp/80", "why not?")?;
        let said = why.starts_with("DENIED: isolated by policy `web`");
        self.report.check("the policy is named, and the kernel agrees", said && agrees(&why), &why);
        self.does("sandbox update client --label-add role=friend", "`client` becomes a friend")?;
        let done = self.stage.fetch_in("client", inside)?;
        self.answered("client", inside, &done, "web");
        let why = self.shows("explain client web tcp/80", "and why now?")?;
        let said = why.starts_with("ALLOWED: accepted by policy `web`, ingress rule 0");
        self.report.check("the rule is named, and the kernel agrees", said && agrees(&why), &why);
        self.does("sandbox quarantine client", "`client` is cut off, whatever policies say")?;
        let done = self.stage.fetch_in("client", inside)?;
        self.unanswered("client", inside, &done, "it is cut off");
        self.does("sandbox release client", "and released")?;
        self.does("policy rm web", "the policy is lifted")?;
        let done = self.stage.fetch_outside(&published)?;
        self.answered("outside", &published, &done, "web");
        Ok(())
    }
}

fn agrees(explanation: &str) -> bool {
    explanation.contains("kernel   agrees")
}
