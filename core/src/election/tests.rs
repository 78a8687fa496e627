use super::*;

const DURATION: Duration = Duration::from_secs(60);

fn candidate(identity: &str) -> Candidate {
    Candidate::new(identity.to_owned(), DURATION)
}

fn lease(holder: &str, version: &str) -> Lease {
    Lease {
        version: Some(version.to_owned()),
        holder: holder.to_owned(),
        duration: DURATION,
    }
}

#[test]
fn who_renews_is_not_deposed() {
    let mut one = candidate("one");
    for number in 0..100 {
        let now = Duration::from_secs(number * 50);
        let renewed = lease("another", &number.to_string());
        assert_eq!(one.step(Some(&renewed), now), Step::Wait);
    }
}

#[test]
fn who_has_not_renewed_for_the_whole_time_is_gone() {
    let (mut one, start) = (candidate("one"), Duration::from_secs(1000));
    let stale = lease("another", "7");
    assert_eq!(one.step(Some(&stale), start), Step::Wait);
    let almost = start + DURATION - Duration::from_millis(1);
    assert_eq!(one.step(Some(&stale), almost), Step::Wait);
    assert_eq!(one.step(Some(&stale), start + DURATION), Step::Replace);
}

#[test]
fn one_that_asks_for_longer_gets_longer() {
    let mut one = candidate("one");
    let stale = Lease {
        duration: 10 * DURATION,
        ..lease("another", "7")
    };
    assert_eq!(one.step(Some(&stale), Duration::ZERO), Step::Wait);
    assert_eq!(one.step(Some(&stale), DURATION), Step::Wait);
    assert_eq!(one.step(Some(&stale), 10 * DURATION), Step::Replace);
}

#[test]
fn nobodys_lease_and_ones_own_are_taken_at_once() {
    let (mut one, now) = (candidate("one"), Duration::ZERO);
    assert_eq!(one.step(None, now), Step::Create);
    assert_eq!(one.step(Some(&lease("", "1")), now), Step::Replace);
    assert_eq!(one.step(Some(&lease("one", "2")), now), Step::Replace);
}

#[test]
fn a_term_is_counted_from_when_it_was_asked_for_and_ends_a_third_before_others_may_begin() {
    let (mut one, asked) = (candidate("one"), Duration::from_secs(7));
    assert!(!one.leads(asked));
    one.hears(asked, Answer::Won);
    let end = asked + Duration::from_secs(40);
    assert!(one.leads(end - Duration::from_millis(1)) && !one.leads(end));
    one.hears(end, Answer::Lost);
    assert!(!one.leads(asked));
}

#[test]
fn one_look_that_comes_to_nothing_costs_no_term_however_slow_those_around_it_are() {
    for seconds in [15, 30, 60, 600] {
        let duration = Duration::from_secs(seconds);
        let mut one = Candidate::new("one".to_owned(), duration);
        one.hears(Duration::ZERO, Answer::Won);
        let failed = one.again(Duration::ZERO);
        assert!(one.patience() < failed, "{seconds} s");
        one.hears(failed, Answer::Unknown);
        let asked = one.again(failed);
        assert!(failed + one.patience() < asked, "{seconds} s");
        assert!(one.leads(asked + one.patience()), "{seconds} s");
    }
}
