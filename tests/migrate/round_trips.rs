//! How many round trips migrating costs, counted on the wire.

use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::Server;
use crate::support::premain::migrate;
use crate::support::proxy::Proxy;

#[test]
fn nothing_pending_is_one_round_trip_and_n_pending_are_n_and_four_at_most() {
    let server = Server::shared();
    let wire = Proxy::to(server);
    for format in FORMATS {
        let database = server.database();
        let url = wire.url(&database.name);
        let apply = |count: usize| {
            let place = migrations(format, count, |n| format!("CREATE TABLE t{n} ()"));
            migrate(place.path())
                .words(["--format", format])
                .database(&url)
                .run()
                .code(0)
                .says(&format!("({format}, {count} files)"));
            wire.take()
        };
        let (queries, connections) = apply(10);
        assert!(queries <= 10 + 4, "{format}, a fresh database, 10 pending: {queries} queries");
        assert_eq!(connections, 1);
        let (queries, _) = apply(30);
        assert!(queries <= 20 + 4, "{format}, 20 pending: {queries} queries");
        assert_eq!(apply(30), (1, 1), "{format}, nothing pending");
    }
}

#[test]
fn a_thousand_pending_are_a_thousand_round_trips_and_four() {
    let server = Server::shared();
    let wire = Proxy::to(server);
    for format in FORMATS {
        let database = server.database();
        let url = wire.url(&database.name);
        let place = migrations(format, 1000, |n| format!("CREATE TABLE t{n} ()"));
        migrate(place.path())
            .words(["--format", format])
            .database(&url)
            .run()
            .code(0)
            .says("migrations 1000 applied");
        let (queries, connections) = wire.take();
        assert!(queries <= 1000 + 4, "{format}: {queries} queries");
        assert_eq!(connections, 1);
    }
}
