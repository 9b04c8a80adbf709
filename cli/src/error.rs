//! What went wrong, in words and as an exit code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use postern_workbench::case::CaseError;
use postern_workbench::load::LoadError;
use postern_workbench::project::ProjectError;
use postern_workbench::request::RequestError;
use postern_workbench::timing::TimingError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::client::Address;
use crate::output::plain;

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
/// What shells answer for a command that cannot be run.
const CANNOT_RUN: u8 = 126;
/// What shells answer for a command that does not exist.
const NOT_FOUND: u8 = 127;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The flags contradict each other in a way their grammar cannot say.
    #[error("{0}")]
    Usage(String),
    /// There is no daemon.
    #[error("no daemon answers at {address}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        address: Address,
        /// What the kernel said.
        cause: String,
        /// What to look at.
        hint: &'static str,
    },
    /// The daemon answered with an error, or the connection broke.
    #[error("{}", message(.0))]
    Status(Box<Status>),
    /// The daemon's reply lacks what the API promises.
    #[error("the daemon's reply makes no sense: {0}")]
    Reply(&'static str),
    /// The daemon ended a stream that has no end.
    #[error("the daemon has gone")]
    Gone,
    /// Some of several names failed; the others are done.
    #[error("{} of the names failed", .0.len())]
    Several(Vec<Self>),
    /// A line of a file could not be done.
    #[error("line {number}: {why}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Why not.
        why: Box<Self>,
    },
    /// A stream of calls broke off; what became of some is not known.
    #[error("{lines} lines are not answered: {}", message(.why))]
    Unanswered {
        /// How many.
        lines: usize,
        /// What ended the stream.
        why: Box<Status>,
    },
    /// The question was not answered with yes.
    #[error("nothing is deleted: not confirmed (-f asks nothing)")]
    NotConfirmed,
    /// A reply cannot be written as JSON.
    #[error("cannot write the reply as JSON: {0}")]
    Json(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Standard input or output failed.
    #[error("standard {stream}: {source}")]
    Stdio {
        /// `input` or `output`.
        stream: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A driver's project is not made.
    #[error(transparent)]
    DriverProject(#[from] ProjectError),
    /// A driver cannot be loaded.
    #[error(transparent)]
    DriverLoad(#[from] LoadError),
    /// A request makes no sense for a driver.
    #[error("the daemon would not ask the driver this")]
    DriverRequest(RequestError),
    /// A golden case cannot be run.
    #[error(transparent)]
    DriverCase(#[from] CaseError),
    /// A driver's calls cannot be measured.
    #[error(transparent)]
    DriverTiming(#[from] TimingError),
    /// A driver gives no decision that is admitted.
    #[error("`{function}` {verdict}")]
    NoDecision {
        /// Which function was asked.
        function: &'static str,
        /// What it did.
        verdict: &'static str,
        /// Everything that is against it.
        objections: Vec<String>,
    },
    /// Not all golden cases are as expected.
    #[error("{failed} of {of} cases failed")]
    CasesFailed {
        /// How many are not.
        failed: usize,
        /// How many there are.
        of: usize,
    },
    /// The asynchronous runtime did not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// The sandbox's namespace cannot be opened.
    #[error("cannot open the namespace {}: {source}", path.display())]
    OpenNamespace {
        /// Its path, as the daemon told.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The sandbox's namespace cannot be entered.
    #[error("cannot enter the namespace {}: {source}", path.display())]
    EnterNamespace {
        /// Its path, as the daemon told.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was adopted is gone, and something else has its pid or stands at its path.
    #[error("the namespace at {} is not the sandbox's any more", path.display())]
    NamespaceReplaced {
        /// Its path, as the daemon told.
        path: PathBuf,
    },
    /// The sandbox's files cannot be put into place.
    #[error("cannot mount the sandbox's files at {}: {source}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The command cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The command's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::DriverRequest(error)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Error {
    /// A contradiction on the command line.
    pub(crate) fn usage(why: impl Into<String>) -> Self {
        Self::Usage(why.into())
    }

    /// The same, of a line of a file.
    pub(crate) fn of_line(self, number: usize) -> Self {
        Self::Line { number, why: Box::new(self) }
    }

    /// Prints it on standard error and returns the process's exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Stdio { source, .. } = self
            && source.kind() == io::ErrorKind::BrokenPipe
        {
            // `postern network ls | head`: the reader has what it wanted.
            return ExitCode::SUCCESS;
        }
        let mut stderr = io::stderr().lock();
        for line in self.lines() {
            // Where standard error is closed, the exit code still tells.
            let _ = writeln!(stderr, "{line}");
        }
        ExitCode::from(self.code())
    }

    /// The exit code; of several failures that of the first.
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Status(status) => status_code(status.code()),
            Self::DriverProject(error) if error.is_refusal() => REFUSED,
            Self::DriverLoad(error) if error.is_refusal() => REFUSED,
            Self::DriverRequest(_) | Self::NoDecision { .. } => REFUSED,
            Self::Several(errors) => errors.first().map_or(FAILED, Self::code),
            Self::Line { why, .. } => why.code(),
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Run { .. } => CANNOT_RUN,
            _ => FAILED,
        }
    }

    /// `error: …`, then an indented line for each detail.
    fn lines(&self) -> Vec<String> {
        if let Self::Several(errors) = self {
            return errors.iter().flat_map(Self::lines).collect();
        }
        let mut lines = vec![format!("error: {}", plain(&self.to_string()))];
        match self {
            Self::Usage(_) => lines.push("  try --help".to_owned()),
            Self::Unreachable { hint, .. } => lines.push(format!("  {hint}")),
            Self::EnterNamespace { source, .. } | Self::OpenNamespace { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                lines.push("  entering a namespace needs root".to_owned());
            }
            Self::DriverLoad(error) => {
                lines.extend(error.hint().map(|hint| format!("  {}", plain(hint))));
            }
            Self::DriverRequest(error) => {
                let fields = error.violations.iter();
                lines.extend(fields.map(|field| format!("  {}", plain(&field.to_string()))));
            }
            Self::NoDecision { objections, .. } => {
                lines.extend(objections.iter().map(|line| format!("  {}", plain(line))));
            }
            Self::Line { why, .. } => lines.extend(why.lines().into_iter().skip(1)),
            Self::Status(status) => {
                let details = details(status.message(), &status.get_error_details());
                lines.extend(details.iter().map(|line| format!("  {}", plain(line))));
            }
            _ => {}
        }
        lines
    }
}

/// What a reply must hold.
///
/// # Errors
/// It is absent.
pub(crate) fn required<T>(held: Option<T>, what: &'static str) -> Result<T, Error> {
    held.ok_or(Error::Reply(what))
}

fn status_code(code: Code) -> u8 {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::PermissionDenied => REFUSED,
        _ => FAILED,
    }
}

/// The status in words: its own, and what broke below it where it was made on this side.
fn message(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    let mut deepest = std::error::Error::source(status);
    while let Some(deeper) = deepest.and_then(std::error::Error::source) {
        deepest = Some(deeper);
    }
    if let Some(cause) = deepest {
        text = format!("{text}: {cause}");
    }
    text
}

/// A line for each detail of `google.rpc.Status`, fields first; what `message` says
/// already is not said again.
fn details(message: &str, details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(request) = details.bad_request() {
        let fields = request.field_violations.iter();
        let fields = fields.map(|of| format!("{}: {}", of.field, of.description));
        // The message of a daemon of ours names them all.
        lines.extend(fields.filter(|field| !message.contains(field)));
    }
    if let Some(failure) = details.precondition_failure() {
        let violations = failure.violations.iter();
        lines.extend(violations.map(|of| format!("{}: {}", of.subject, of.description)));
    }
    if let Some(quota) = details.quota_failure() {
        let violations = quota.violations.iter();
        lines.extend(violations.map(|of| format!("{}: {}", of.subject, of.description)));
    }
    if let Some(resource) = details.resource_info() {
        // `postern.v1.Network` is the type's name for programs.
        let kind = resource.resource_type.rsplit('.').next().unwrap_or_default();
        let what = format!("{} {}", kind.to_lowercase(), resource.resource_name);
        let said = resource.description == message;
        let more = if said { "" } else { resource.description.as_str() };
        lines.push(join(what.trim(), more));
    }
    if let Some(info) = details.error_info() {
        let mut metadata: Vec<_> =
            info.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        metadata.sort();
        lines.push(format!("reason: {} {}", info.reason, metadata.join(" ")).trim_end().to_owned());
    }
    lines
}

fn join(what: &str, description: &str) -> String {
    if description.is_empty() { what.to_owned() } else { format!("{what}: {description}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detail_has_a_line() {
        let mut details = ErrorDetails::new();
        details
            .add_bad_request_violation("spec.subnets[0].gateway", "lies outside 10.0.0.0/24")
            .add_bad_request_violation("spec.mtu", "is below 576")
            .set_resource_info("postern.v1.Network", "web", "", "the spec is invalid")
            .set_error_info(
                "INVALID_SPEC",
                "postern",
                [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())],
            );
        let status =
            Status::with_error_details(Code::InvalidArgument, "the spec is invalid", details);
        let error = Error::from(status);
        assert_eq!(
            error.lines(),
            [
                "error: the spec is invalid",
                "  spec.subnets[0].gateway: lies outside 10.0.0.0/24",
                "  spec.mtu: is below 576",
                "  network web",
                "  reason: INVALID_SPEC a=1 b=2",
            ]
        );
        assert_eq!(error.code(), REFUSED);
    }

    #[test]
    fn a_terminal_is_safe_from_what_the_daemon_says() {
        let error = Error::from(Status::internal("a\x1b[31mb\nc"));
        assert_eq!(error.lines(), ["error: a\\u{1b}[31mb\\nc"]);
    }

    #[test]
    fn codes_tell_refusal_from_failure() {
        let refused = [3, 5, 6, 7, 8, 9, 10, 11];
        for code in 1..=16 {
            let expected = if refused.contains(&code) { REFUSED } else { FAILED };
            assert_eq!(Error::from(Status::new(Code::from(code), "")).code(), expected, "{code}");
        }
    }

    #[test]
    fn of_several_the_first_gives_the_code() {
        let several =
            Error::Several(vec![Status::not_found("no a").into(), Status::internal("b").into()]);
        assert_eq!(several.lines(), ["error: no a", "error: b"]);
        assert_eq!(several.code(), REFUSED);
    }
}
