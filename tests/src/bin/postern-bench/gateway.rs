//! Packets and connections through the gateway: do they cost more where there is more?

use postern_tests::{HOST4, World, ask};
use tonic::Status;

use crate::crowd::{in_world, populate};
use crate::row::Row;
use crate::traffic::{self, connections, round_trips};

const SUBJECT: &str = "postern";
const PORT: u16 = 7000;

/// Measures at each of `sizes` endpoints, each with a published port, in one world that
/// grows.
pub(crate) fn measure(sizes: &[u32]) -> Vec<Row> {
    in_world(&[], async |world| grow(world, sizes).await)
}

async fn grow(world: &World, sizes: &[u32]) -> Result<Vec<Row>, Status> {
    world.api.create_network("measured", ask::network(&["10.90.0.0/24"])).await?;
    let published = [ask::udp(PORT.into(), PORT.into()), ask::tcp(PORT.into(), PORT.into())];
    let server = world.place("measured", "server", ask::publish(&published)).await;
    let peer = world.place("measured", "peer", ask::endpoint()).await;
    let address = world.api.endpoint("server.measured").await?.ipv4_address;
    let inside = address.split('/').next().unwrap_or_default().to_owned();
    let socket = traffic::socket(&server, PORT);
    let (mut rows, mut there) = (Vec::new(), 0);
    for size in sizes {
        println!("packets at {size} endpoints ...");
        populate(&world.api, there..*size, |n| ask::publish(&[ask::tcp(10_000 + n, 80)])).await?;
        there = *size;
        let published = traffic::address(HOST4, PORT);
        for (work, client, to) in [
            ("packet to a published port", &world.outside, published),
            ("packet between neighbours", &peer, traffic::address(&inside, PORT)),
        ] {
            let times = round_trips(&traffic::socket(client, 0), &socket, to);
            rows.push(Row::of_times(work, SUBJECT, *size, times));
        }
        let times = connections(&world.outside, (&server, PORT), published);
        rows.push(Row::of_times("connection to a published port", SUBJECT, *size, times));
    }
    Ok(rows)
}
