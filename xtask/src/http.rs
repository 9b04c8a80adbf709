//! The smallest HTTP server and client that a demo needs (RFC 9112, one request a connection).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::process::Failure;

/// How long the client waits; what the daemon forbids is dropped and costs this much.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest head and longest body that are read.
const LIMIT: u64 = 64 << 10;

/// Answers every request with the server's name and the address it was asked from, until killed.
pub(crate) fn serve(name: &str, listen: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).map_err(|error| Failure::during(listen, error))?;
    println!("{name} serves at {listen}");
    for stream in listener.incoming() {
        let answered = stream.and_then(|stream| answer(name, stream));
        if let Err(error) = answered {
            eprintln!("{name}: {error}");
        }
    }
    Ok(())
}

fn answer(name: &str, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let peer = stream.peer_addr()?.ip().to_canonical();
    let mut head = BufReader::new(stream.try_clone()?.take(LIMIT));
    let mut line = String::new();
    while head.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = format!("hello from {name}, asked by {peer}\n");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Fetches `http://address:port/…` and returns the body.
pub(crate) fn fetch(url: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::during(url, error);
    let (host, path) = parse(url)?;
    let mut stream = TcpStream::connect_timeout(&host, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .map_err(failed)?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer).map_err(failed)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or_else(|| Failure::during(url, "not an HTTP answer"))?;
    if head.split(' ').nth(1) == Some("200") {
        return Ok(body.to_owned());
    }
    Err(Failure::during(url, head.lines().next().unwrap_or_default()))
}

fn parse(url: &str) -> Result<(SocketAddr, String), Failure> {
    let wrong = || Failure::during(url, "not of the form http://address:port/");
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.parse().or_else(|_| format!("{host}:80").parse()).map_err(|_| wrong())?;
    Ok((host, format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let host = |url: &str| parse(url).map(|(host, path)| format!("{host}{path}")).ok();
        assert_eq!(host("http://10.0.0.1/").as_deref(), Some("10.0.0.1:80/"));
        assert_eq!(host("http://10.0.0.1:8080/a/b").as_deref(), Some("10.0.0.1:8080/a/b"));
        assert_eq!(host("http://[fd00::1]:80").as_deref(), Some("[fd00::1]:80/"));
        for bad in ["10.0.0.1", "https://10.0.0.1/", "http://", "http://name/"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_served_is_fetched() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || answer("web", listener.accept().unwrap().0));
        let body = fetch(&format!("http://{address}/")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(body, "hello from web, asked by 127.0.0.1\n");
        server.join().unwrap().unwrap();
    }
}
