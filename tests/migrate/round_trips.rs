//! How many network round trips migrating costs.

use crate::support::layout::{FORMATS, migrations};
use crate::support::postgres::Server;
use crate::support::premain::migrate;
use crate::support::proxy::Proxy;

#[test]
fn nothing_pending_costs_one_round_trip_and_n_migrations_at_most_n_plus_four() {
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
fn a_thousand_migrations_cost_a_thousand_and_four_round_trips() {
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
