//! What every registry promises. An implementation gives a [`Server`]; the macro at the end makes a
//! test of every promise.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cluster::member::State;
use cluster::registry::{Registry, RegistryError};

use crate::sample::*;

/// What registries are made of, empty at first.
pub trait Server {
    type Registry: Registry;

    fn start() -> Self;

    /// The registry of a cluster, with leases of this length.
    fn registry(&self, cluster: &str, lease: Duration) -> Self::Registry;

    /// Loses everything, and goes on.
    fn wipe(&self);
}

pub async fn a_member_that_joins_is_in_the_view_of_every_other<S: Server>() {
    let server = S::start();
    let (here, there) = (server.registry("a", LEASE), server.registry("a", LEASE));
    assert_eq!(there.view().await.unwrap().view.members(), []);
    let (mut first, second) = (member(1), member(2));
    first.address = "[2001:db8::1]:7946".parse().unwrap();
    assert_eq!(
        here.join(&first).await.unwrap().view.members(),
        [first.clone()]
    );
    let reading = there.join(&second).await.unwrap();
    assert_eq!(reading.view.members(), [first, second]);
    assert_eq!(here.view().await.unwrap().view, reading.view);
    assert_eq!(here.view().await.unwrap().origin, reading.origin);
}

pub async fn a_lease_that_is_renewed_does_not_lapse<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", SHORT_LEASE);
    let mut first = registry.join(&member(1)).await.unwrap();
    let (mut started, mut renewed) = (Instant::now(), Instant::now());
    while started.elapsed() < SHORT_LEASE * 2 {
        let reading = registry.renew(&member(1)).await.unwrap();
        if renewed.elapsed() > SHORT_LEASE / 2 {
            // The machine was too busy to renew in time, and the lease may have lapsed.
            (first, started) = (reading, Instant::now());
        } else {
            assert_eq!(reading.view, first.view);
        }
        renewed = Instant::now();
        tokio::time::sleep(SHORT_LEASE / 20).await;
    }
}

pub async fn who_does_not_renew_is_gone_after_the_lease_and_not_before<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", SHORT_LEASE);
    let joined_ms = registry.join(&member(1)).await.unwrap().time_ms;
    let gone = eventually("the lease lapses", async || {
        let reading = registry.view().await.unwrap();
        let age = Duration::from_millis(reading.time_ms - joined_ms);
        let is_alive = reading.view.members() == [member(1)];
        assert_eq!(is_alive, age < SHORT_LEASE, "after {age:?}");
        (!is_alive).then_some(reading)
    });
    assert_eq!(gone.await.view.number, 2);
}

pub async fn who_leaves_is_gone_at_once<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", LEASE);
    registry.join(&member(1)).await.unwrap();
    registry.join(&member(2)).await.unwrap();
    let left = registry.leave(member(1).generation).await.unwrap();
    assert_eq!(left.view.members(), [member(2)]);
    assert_eq!(left.view.number, 3);
    let again = registry.leave(member(1).generation).await.unwrap();
    assert_eq!(again.view, left.view);
}

pub async fn another_start_at_the_same_address_takes_the_place_at_once<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", LEASE);
    let (old, mut new) = (member(1), member(2));
    new.address = old.address.clone();
    registry.join(&old).await.unwrap();
    registry.join(&member(3)).await.unwrap();
    let reading = registry.join(&new).await.unwrap();
    assert_eq!(reading.view.members(), [new.clone(), member(3)]);
    let refused = registry.renew(&old).await;
    let by_new = matches!(refused, Err(RegistryError::Replaced { by }) if by == new.generation);
    assert!(by_new, "{refused:?}");
    assert_eq!(registry.renew(&new).await.unwrap().view, reading.view);
}

pub async fn a_change_of_a_member_changes_the_number_and_a_renewal_does_not<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", LEASE);
    let mut member = member(1);
    assert_eq!(registry.join(&member).await.unwrap().view.number, 1);
    assert_eq!(registry.join(&member).await.unwrap().view.number, 1);
    assert_eq!(registry.renew(&member).await.unwrap().view.number, 1);
    for (state, number) in [(State::Serving, 2), (State::Draining, 3)] {
        member.state = state;
        let reading = registry.renew(&member).await.unwrap();
        assert_eq!(reading.view.number, number);
        assert_eq!(reading.view.members(), [member.clone()]);
    }
    assert_eq!(registry.view().await.unwrap().view.number, 3);
}

pub async fn what_lost_everything_is_another_origin_and_is_filled_by_renewals<S: Server>() {
    let server = S::start();
    let registry = server.registry("a", LEASE);
    registry.join(&member(1)).await.unwrap();
    let before = registry.join(&member(2)).await.unwrap();
    server.wipe();
    // By the clock of a registry that was born in the same microsecond it would be the same one.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let reading = registry.renew(&member(2)).await.unwrap();
    assert_ne!(reading.origin, before.origin);
    assert_eq!(reading.view.members(), [member(2)]);
    let filled = registry.renew(&member(1)).await.unwrap();
    assert_eq!(filled.view.members(), before.view.members());
    assert_eq!(filled.origin, reading.origin);
}

pub async fn clusters_do_not_see_each_other<S: Server>() {
    let server = S::start();
    let (a, b) = (server.registry("a", LEASE), server.registry("b", LEASE));
    a.join(&member(1)).await.unwrap();
    let mut same_address = member(2);
    same_address.address = member(1).address;
    let reading = b.join(&same_address).await.unwrap();
    assert_eq!(reading.view.members(), [same_address.clone()]);
    assert_eq!(reading.view.number, 1);
    b.leave(same_address.generation).await.unwrap();
    assert_eq!(
        a.renew(&member(1)).await.unwrap().view.members(),
        [member(1)]
    );
}

pub async fn it_tells_the_time<S: Server>() {
    let server = S::start();
    let unix_ms = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64
    };
    let before_ms = unix_ms();
    let time_ms = server.registry("a", LEASE).view().await.unwrap().time_ms;
    // Clocks of one machine may differ by the grain of a tick.
    assert!((before_ms - 20..=unix_ms() + 20).contains(&time_ms));
}

/// One test for every promise, for one server.
macro_rules! contract {
    ($server:ty: $($promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::contract::$promise::<$server>().await;
            }
        )*
    };
    ($server:ty) => {
        $crate::contract::contract! { $server:
            a_member_that_joins_is_in_the_view_of_every_other
            a_lease_that_is_renewed_does_not_lapse
            who_does_not_renew_is_gone_after_the_lease_and_not_before
            who_leaves_is_gone_at_once
            another_start_at_the_same_address_takes_the_place_at_once
            a_change_of_a_member_changes_the_number_and_a_renewal_does_not
            what_lost_everything_is_another_origin_and_is_filled_by_renewals
            clusters_do_not_see_each_other
            it_tells_the_time
        }
    };
}
pub(crate) use contract;
