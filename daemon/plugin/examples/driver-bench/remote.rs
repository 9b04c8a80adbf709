//! The same question to a remote driver of Docker's kind: JSON over HTTP/1.1 on a unix
//! socket, a process of its own behind it (libnetwork's remote driver protocol).
//!
//! To attach an endpoint Docker asks three times: `CreateEndpoint`, `Join` and
//! `ProgramExternalConnectivity`. The responder is as small as can be: it reads the request,
//! and answers what is known beforehand.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::views::Question;

/// What each of the three calls is answered.
fn answer(method: &str) -> Value {
    match method {
        "CreateEndpoint" => json!({"Interface": {"MacAddress": "02:00:5e:00:53:02"}}),
        "Join" => json!({
            "InterfaceName": {"SrcName": "veth0", "DstPrefix": "eth"},
            "Gateway": "10.1.0.1",
            "StaticRoutes": [],
        }),
        _ => json!({}),
    }
}

/// The three requests of one attachment.
pub(crate) fn requests(question: &Question) -> Vec<(&'static str, String)> {
    let (network, endpoint) = (&question.network, &question.endpoint);
    let address = endpoint.addresses.first().map(ToString::to_string);
    let create = json!({
        "NetworkID": network.id,
        "EndpointID": endpoint.id,
        "Interface": {"Address": address, "AddressIPv6": "", "MacAddress": endpoint.mac.to_string()},
        "Options": {"com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}]},
    });
    let join = json!({
        "NetworkID": network.id,
        "EndpointID": endpoint.id,
        "SandboxKey": "/run/netns/web",
        "Options": {},
    });
    let program = json!({
        "NetworkID": network.id,
        "EndpointID": endpoint.id,
        "Options": {"com.docker.network.portmap": [{"Proto": 6, "Port": 80, "HostPort": 8080}]},
    });
    let all =
        [("CreateEndpoint", create), ("Join", join), ("ProgramExternalConnectivity", program)];
    all.into_iter().map(|(method, body)| (method, body.to_string())).collect()
}

/// Answers on a socket until the last client is gone.
pub(crate) fn serve(path: &Path) -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let (stream, _) = listener.accept()?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some((line, body)) = read(&mut reader)? {
        // As a driver would: what is asked is read.
        let _asked: Value = serde_json::from_slice(&body)?;
        let method = line.split_whitespace().nth(1).unwrap_or_default();
        let method = method.rsplit('.').next().unwrap_or_default();
        let body = answer(method).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
    }
    Ok(())
}

/// A message: its first line, and its body.
type Message = (String, Vec<u8>);

/// One message; none at the end.
fn read(from: &mut impl BufRead) -> Result<Option<Message>, Box<dyn Error>> {
    let mut first = String::new();
    if from.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some((first, body)))
}

/// Times attachments over one connection that is kept: of each, and of its first call alone.
pub(crate) fn measure(
    path: &Path,
    question: &Question,
    calls: usize,
) -> Result<(Vec<Duration>, Vec<Duration>), Box<dyn Error>> {
    let mut stream = UnixStream::connect(path)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    for _ in 0..calls {
        let begun = Instant::now();
        // Encoded each time, as what is asked differs each time.
        for (index, (method, body)) in requests(question).iter().enumerate() {
            let head = format!(
                "POST /NetworkDriver.{method} HTTP/1.1\r\nHost: plugin\r\n\
                 Accept: application/vnd.docker.plugins.v1.1+json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            let (_, body) = read(&mut reader)?.ok_or("the responder is gone")?;
            let _answer: Value = serde_json::from_slice(&body)?;
            if index == 0 {
                single.push(begun.elapsed());
            }
        }
        whole.push(begun.elapsed());
    }
    Ok((whole, single))
}
