use super::*;

const DURATION: Duration = Duration::from_secs(60);

fn candidate(identity: &str) -> Candidate {
    Candidate::new(identity.to_owned(), DURATION)
}

fn lease(holder: &str, version: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some("lease".to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(60),
            lease_transitions: Some(3),
            // A holder whose clock is years behind.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        }),
    }
}

fn step(candidate: &mut Candidate, lease: Option<&Lease>, now: Instant) -> Step {
    candidate.step(lease, now, Timestamp::UNIX_EPOCH)
}

fn takes(step: &Step) -> bool {
    matches!(step, Step::Create(_) | Step::Replace(_))
}

#[test]
fn who_renews_is_not_deposed_whatever_its_clock_says() {
    let (mut one, start) = (candidate("one"), Instant::now());
    for number in 0..100 {
        let now = start + Duration::from_secs(number * 50);
        let renewed = lease("another", &number.to_string());
        assert_eq!(step(&mut one, Some(&renewed), now), Step::Wait);
    }
}

#[test]
fn who_has_not_renewed_for_the_whole_time_is_gone() {
    let (mut one, start) = (candidate("one"), Instant::now());
    let stale = lease("another", "7");
    assert_eq!(step(&mut one, Some(&stale), start), Step::Wait);
    assert_eq!(
        step(
            &mut one,
            Some(&stale),
            start + DURATION - Duration::from_millis(1)
        ),
        Step::Wait
    );
    let Step::Replace(taken) = step(&mut one, Some(&stale), start + DURATION) else {
        panic!("not taken");
    };
    assert_eq!(
        taken.metadata.resource_version.as_deref(),
        Some("7"),
        "compare and swap"
    );
    let spec = taken.spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("one"));
    assert_eq!(spec.lease_transitions, Some(4));
}

#[test]
fn one_that_asks_for_longer_gets_longer() {
    let (mut one, start) = (candidate("one"), Instant::now());
    let mut stale = lease("another", "7");
    stale.spec.as_mut().unwrap().lease_duration_seconds = Some(600);
    assert_eq!(step(&mut one, Some(&stale), start), Step::Wait);
    assert_eq!(step(&mut one, Some(&stale), start + DURATION), Step::Wait);
    assert!(takes(&step(&mut one, Some(&stale), start + 10 * DURATION)));
}

#[test]
fn nobodys_lease_and_ones_own_are_taken_at_once() {
    let (mut one, now) = (candidate("one"), Instant::now());
    assert!(matches!(step(&mut one, None, now), Step::Create(_)));
    assert!(takes(&step(&mut one, Some(&lease("", "1")), now)));
    let Step::Replace(own) = step(&mut one, Some(&lease("one", "2")), now) else {
        panic!("not renewed");
    };
    assert_eq!(own.spec.unwrap().lease_transitions, Some(3));
}

/// Two candidates that see each other's writes late, in any order: by their own clocks, no term that was won begins before
/// the other one has ended.
#[test]
fn a_term_ends_before_another_one_begins() {
    let mut rng = 1_u64;
    let mut random = |below: u64| {
        rng = rng
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (rng >> 33) % below
    };
    let start = Instant::now();
    for _ in 0..200 {
        let mut candidates = [candidate("one"), candidate("two")];
        let mut terms: [Term; 2] = [None, None];
        let (mut stored, mut version, mut now) = (None::<Lease>, 0_u64, start);
        let mut changes = 0;
        for _ in 0..400 {
            now += Duration::from_millis(random(20_000));
            let who = random(2) as usize;
            let read = stored.clone();
            let step = step(&mut candidates[who], read.as_ref(), now);
            // The request takes its time, and may be lost.
            let asked = now;
            now += Duration::from_millis(random(8_000));
            let (Step::Create(mut lease) | Step::Replace(mut lease)) = step else {
                continue;
            };
            if random(3) == 0 {
                continue;
            }
            version += 1;
            lease.metadata.resource_version = Some(version.to_string());
            stored = Some(lease);
            let other = terms[1 - who];
            assert!(other.is_none_or(|end| end <= now), "both lead");
            changes += usize::from(terms[who].is_none_or(|end| end <= asked));
            terms[who] = Some(candidates[who].term(asked));
        }
        assert!(changes > 1, "nobody was ever followed");
    }
}
