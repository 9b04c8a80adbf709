//! Calls that come at the same time and concern the same thing.

use postern_tests::{World, ask};

const ROUNDS: usize = 40;

/// Frames between the neighbours of a network are judged while a policy speaks of one of
/// them. Of a call that makes it so and one that ends it, the later holds.
#[test]
fn neighbours_are_judged_as_the_later_of_two_calls_has_it() {
    World::run(async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let rules = vec![ask::accept(vec![ask::peer(&[("who", "two")])], 80)];
        api.apply_policy("two-only", ask::app(&[("who", "one")], rules)).await.unwrap();
        let spec = || ask::labelled(&[("who", "one")]);
        for name in ["a", "b"] {
            api.create_sandbox(name).await.unwrap();
        }
        api.connect("blue", "a", spec()).await.unwrap();
        let (mut goes, mut comes) = ("a", "b");
        for _ in 0..ROUNDS {
            let (gone, come) =
                tokio::join!(api.disconnect("blue", goes), api.connect("blue", comes, spec()));
            gone.unwrap();
            come.unwrap();
            world.assert_agrees().await;
            (goes, comes) = (comes, goes);
        }
    });
}
