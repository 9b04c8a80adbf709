//! etcd over the JSON that it speaks beside gRPC: enough to see what it has, and to simulate
//! hosts.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A key and its value.
pub type Pair = (String, Vec<u8>);

/// Every key that begins like this, of the etcd at an address.
///
/// # Panics
/// It does not answer.
pub fn list(address: &str, prefix: &str) -> Vec<Pair> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let asked = json!({ "key": STANDARD.encode(prefix), "range_end": STANDARD.encode(end) });
    let answer = post(address, "/v3/kv/range", &asked);
    let text = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default());
    let pairs = answer["kvs"].as_array().cloned().unwrap_or_default();
    let read = |pair: &Value| {
        let key = String::from_utf8(text(&pair["key"]).ok()?).ok()?;
        Some((key, text(&pair["value"]).ok()?))
    };
    pairs.iter().filter_map(read).collect()
}

/// Puts keys, a hundred at a time.
///
/// # Panics
/// It does not answer.
pub fn put(address: &str, pairs: &[Pair]) {
    for pairs in pairs.chunks(100) {
        let put = |(key, value): &Pair| {
            let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
            json!({ "requestPut": { "key": key, "value": value } })
        };
        let all: Vec<Value> = pairs.iter().map(put).collect();
        post(address, "/v3/kv/txn", &json!({ "success": all }));
    }
}

fn post(address: &str, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        // Of HTTP/1.0, so that the answer comes in one piece.
        write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().unwrap_or_else(|error| panic!("etcd: {error}"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("etcd: {error}: {answer}"))
}
