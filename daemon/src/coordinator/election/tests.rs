use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

fn candidate() -> Candidate {
    Candidate::new("one".to_owned(), Duration::from_secs(60))
}

fn lease(holder: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some("lease".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(600),
            lease_transitions: Some(3),
            acquire_time: Some(MicroTime(Timestamp::MIN)),
            // A holder whose clock is years behind.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        }),
    }
}

#[test]
fn what_a_lease_says_is_read_and_what_it_does_not_say_is_nobodys() {
    let read_one = read(&lease("another"));
    assert_eq!(read_one.version.as_deref(), Some("7"));
    assert_eq!(read_one.holder, "another");
    assert_eq!(read_one.duration, Duration::from_secs(600));
    assert_eq!(read(&Lease::default()), election::Lease::default());
    let mut odd = lease("");
    odd.spec.as_mut().unwrap().lease_duration_seconds = Some(-1);
    assert_eq!(read(&odd).duration, Duration::ZERO);
}

#[test]
fn a_lease_takes_the_place_of_the_one_that_was_read_and_counts_who_had_it() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let spec = |lease: Lease| lease.spec.unwrap();
    let other = taken(&candidate(), Some(lease("another")), now);
    assert_eq!(
        other.metadata.resource_version.as_deref(),
        Some("7"),
        "compare and swap"
    );
    let other = spec(other);
    assert_eq!(other.holder_identity.as_deref(), Some("one"));
    assert_eq!(other.lease_duration_seconds, Some(60));
    assert_eq!(other.lease_transitions, Some(4));
    assert_eq!(other.acquire_time, Some(MicroTime(now)));
    let own = spec(taken(&candidate(), Some(lease("one")), now));
    assert_eq!(own.lease_transitions, Some(3));
    assert_eq!(own.acquire_time, Some(MicroTime(Timestamp::MIN)));
    assert_eq!(own.renew_time, Some(MicroTime(now)));
    assert_eq!(
        spec(taken(&candidate(), None, now)).lease_transitions,
        Some(1)
    );
}
