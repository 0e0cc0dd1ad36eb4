use std::collections::HashSet;

use uuid::Uuid;

use super::*;

/// The fence of this attempt. Its claim follows from the attempt.
fn of(run: RunId, attempt: i32) -> Fence {
    Fence { run, attempt, claim: Uuid::from_u128(attempt.unsigned_abs().into()) }
}

fn kept(runs: &[RunId]) -> Renewed {
    Renewed { kept: runs.iter().copied().collect(), locked: HashSet::new() }
}

impl Lease {
    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_is_renewed_and_ends_with_its_task() {
    let config = LeaseConfig { lease_seconds: 30 };
    let (leases, run, start) = (HeldLeases::new(config), RunId::generate(), Instant::now());
    let first = leases.hold(of(run, 1), start);
    leases.expire(start + Duration::from_secs(24));
    assert!(!first.is_lost());
    leases.apply(&[of(run, 1)], &kept(&[run]), start + Duration::from_secs(10));
    leases.expire(start + Duration::from_secs(34));
    assert!(!first.is_lost(), "the lease counts from when the renewal was sent");
    leases.expire(start + Duration::from_secs(35));
    assert!(first.is_lost(), "the lease is lost a margin before its end");

    let second = leases.hold(of(run, 2), start);
    assert!(leases.hold(of(run, 1), start).is_lost(), "a lower attempt whose answer came late is lost");
    let elsewhere = Fence { claim: Uuid::new_v4(), ..of(run, 2) };
    leases.apply(&[elsewhere], &kept(&[]), start);
    assert!(!second.is_lost(), "the answer for another claim of the same attempt changes nothing");
    drop(first);
    assert_eq!(leases.fences(), [of(run, 2)], "the end of attempt 1 does not end attempt 2");
    leases.apply(&[of(run, 2)], &kept(&[]), start);
    assert!(second.is_lost(), "a run that is not renewed is lost");
    let panicking = tokio::spawn(async move {
        let _held = second;
        panic!("on purpose");
    });
    assert!(panicking.await.is_err() && leases.fences().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_stays_suspected_until_a_later_renewal_is_answered() {
    let leases = HeldLeases::new(LeaseConfig { lease_seconds: 30 });
    let (run, late, never) = (RunId::generate(), RunId::generate(), RunId::generate());
    let no_suspects = async || tokio::time::timeout(Duration::from_secs(1), leases.suspects()).await.is_err();
    let held = leases.hold(of(run, 3), Instant::now());
    leases.suspect(never);
    assert!(no_suspects().await, "a run that is not held is no suspect");
    leases.suspect(run);
    assert_eq!(leases.suspects().await, [of(run, 3)]);
    assert_eq!(leases.suspects().await, [of(run, 3)], "the run stays suspected without an answer");
    leases.apply(&[of(run, 3)], &kept(&[run]), Instant::now());
    assert!(no_suspects().await && !held.is_lost(), "the broadcast alone does not lose the run");

    leases.suspect(late);
    let just_claimed = leases.hold(of(late, 1), Instant::now());
    assert_eq!(leases.suspects().await, [of(late, 1)], "the cancel came before the answer of the claim");
    leases.apply(&[of(late, 1)], &kept(&[]), Instant::now());
    assert!(no_suspects().await && just_claimed.is_lost());
    assert_eq!(leases.fences(), [of(run, 3)], "a lost run is not renewed");
    let sent = Instant::now();
    leases.apply(&[of(run, 3)], &Renewed { locked: HashSet::from([run]), ..kept(&[]) }, sent);
    assert_eq!(leases.suspects().await, [of(run, 3)], "a run with a locked row is asked for again");
    assert!(!held.is_lost());
    leases.apply(&[of(run, 3)], &kept(&[run]), sent);
    assert!(no_suspects().await);
    leases.suspect(run);
    leases.apply(&[of(run, 3)], &kept(&[run]), sent);
    assert_eq!(leases.suspects().await, [of(run, 3)], "a renewal sent before the broadcast proves nothing");
    drop(held);
    assert!(no_suspects().await, "a dropped lease is no suspect");
}
