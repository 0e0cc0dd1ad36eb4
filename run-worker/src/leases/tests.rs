use std::collections::HashSet;

use super::*;

fn kept(runs: &[RunId]) -> Renewed {
    Renewed { kept: runs.iter().copied().collect(), locked: HashSet::new() }
}

impl Lease {
    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}

#[tokio::test]
async fn a_lease_is_kept_by_renewals_alone_and_let_go_by_a_panic() {
    let config = LeaseConfig { lease_seconds: 30 };
    let (leases, run, start) = (Leases::new(config), RunId::generate(), Instant::now());
    let first = leases.hold((run, 1), start);
    leases.drop_expired(start + Duration::from_secs(24));
    assert!(!first.is_lost());
    leases.renewed(&[(run, 1)], &kept(&[run]), start + Duration::from_secs(10));
    leases.drop_expired(start + Duration::from_secs(34));
    assert!(!first.is_lost(), "counted from when the renewal was sent");
    leases.drop_expired(start + Duration::from_secs(35));
    assert!(first.is_lost(), "a margin before its end");

    let second = leases.hold((run, 2), start);
    assert!(leases.hold((run, 1), start).is_lost(), "an older attempt whose answer came late");
    drop(first);
    assert_eq!(leases.fences(), [(run, 2)], "an older attempt's end is not the newer one's");
    leases.renewed(&[(run, 2)], &kept(&[]), start);
    assert!(second.is_lost(), "what is not renewed is lost");
    let panicking = tokio::spawn(async move {
        let _held = second;
        panic!("on purpose");
    });
    assert!(panicking.await.is_err() && leases.fences().is_empty());
}

#[tokio::test(start_paused = true)]
async fn suspects_are_looked_at_until_there_is_an_answer() {
    let leases = Leases::new(LeaseConfig { lease_seconds: 30 });
    let (run, late, never) = (RunId::generate(), RunId::generate(), RunId::generate());
    let nobody = async || tokio::time::timeout(Duration::from_secs(1), leases.suspects()).await.is_err();
    let held = leases.hold((run, 3), Instant::now());
    leases.suspect(never);
    assert!(nobody().await, "what is not held is nothing to look at");
    leases.suspect(run);
    assert_eq!(leases.suspects().await, [(run, 3)]);
    assert_eq!(leases.suspects().await, [(run, 3)], "again, should there be no answer");
    leases.renewed(&[(run, 3)], &kept(&[run]), Instant::now());
    assert!(nobody().await && !held.is_lost(), "it was only a word");

    leases.suspect(late);
    let just_claimed = leases.hold((late, 1), Instant::now());
    assert_eq!(leases.suspects().await, [(late, 1)], "the cancel was faster than the claim's answer");
    leases.renewed(&[(late, 1)], &kept(&[]), Instant::now());
    assert!(nobody().await && just_claimed.is_lost());
    assert_eq!(leases.fences(), [(run, 3)], "what is lost is not renewed");
    let sent = Instant::now();
    leases.renewed(&[(run, 3)], &Renewed { locked: HashSet::from([run]), ..kept(&[]) }, sent);
    assert_eq!(leases.suspects().await, [(run, 3)], "somebody has its row: it is asked for again");
    assert!(!held.is_lost());
    leases.renewed(&[(run, 3)], &kept(&[run]), sent);
    assert!(nobody().await);
    leases.suspect(run);
    leases.renewed(&[(run, 3)], &kept(&[run]), sent);
    assert_eq!(leases.suspects().await, [(run, 3)], "what was sent before the word says nothing about it");
    drop(held);
    assert!(nobody().await, "it is let go");
}
