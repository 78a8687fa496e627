use proptest::prelude::*;
use serde_json::json;

use super::*;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn spec(days: &[&str], start: &str, duration: &str, zone: &str) -> WindowSpec {
    WindowSpec {
        days: days.iter().map(|day| (*day).to_owned()).collect(),
        start: start.to_owned(),
        duration: duration.to_owned(),
        time_zone: Some(zone.to_owned()),
    }
}

fn window(days: &[&str], start: &str, duration: &str, zone: &str) -> Window {
    Window::try_from(&spec(days, start, duration, zone)).unwrap()
}

/// A moment, with its offset from UTC.
fn at(text: &str) -> Time {
    let timestamp: Timestamp = text.parse().unwrap();
    time(timestamp).unwrap()
}

/// The next opening and its end.
fn next(window: &Window, now: &str) -> (Time, Time) {
    let windows = std::slice::from_ref(window);
    let opening = next_opening(windows, at(now)).unwrap();
    (opening, open_until(windows, opening).unwrap())
}

fn is_open(window: &Window, now: &str) -> bool {
    open_until(std::slice::from_ref(window), at(now)).is_some()
}

#[test]
fn a_window_is_read_as_it_is_written() {
    let json = json!({
        "days": ["Mon", "Thu"], "start": "22:00", "duration": "6h", "timeZone": "Europe/Berlin",
    });
    let read: WindowSpec = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(read, spec(&["Mon", "Thu"], "22:00", "6h", "Europe/Berlin"));
    assert_eq!(serde_json::to_value(&read).unwrap(), json);

    let json = json!({ "start": "22:00", "duration": "6h" });
    let read: WindowSpec = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
    assert_eq!(
        Window::try_from(&read).unwrap(),
        window(&[], "22:00", "6h", "UTC")
    );

    for json in [
        json!({ "start": "22:00" }),
        json!({ "duration": "6h" }),
        json!({ "start": "22:00", "duration": "6h", "timezone": "UTC" }),
        json!({ "start": "22:00", "duration": "6h", "end": "04:00" }),
        json!({ "start": 2200, "duration": "6h" }),
    ] {
        assert!(
            serde_json::from_value::<WindowSpec>(json.clone()).is_err(),
            "{json}"
        );
    }
}

#[test]
fn what_cannot_be_a_window_says_what_can() {
    use WindowError::{Day, Duration, Start, TimeZone, TooLong, TooShort};

    let good = || spec(&["Fri"], "22:00", "6h", "Europe/Berlin");
    let error = |spec: WindowSpec| Window::try_from(&spec).unwrap_err();
    for day in ["", "fri", "FRI", "Friday", "Fr", "5", "Fri,Sat", "Mon-Fri"] {
        let days = vec!["Mon".to_owned(), day.to_owned()];
        assert_eq!(error(WindowSpec { days, ..good() }), Day, "{day}");
    }
    for start in [
        "",
        ":",
        "22",
        "2200",
        "22:0",
        "22:000",
        "9:00",
        "24:00",
        "23:60",
        "-1:00",
        "+1:00",
        "22:00:00",
        " 22:00",
        "10:00 pm",
        "22.00",
        "２２:00",
        "22:00Z",
    ] {
        let start = start.to_owned();
        assert_eq!(
            error(WindowSpec {
                start: start.clone(),
                ..good()
            }),
            Start,
            "{start}"
        );
    }
    for (duration, expected) in [
        ("", Duration),
        ("-", Duration),
        ("0", Duration),
        ("6", Duration),
        ("h", Duration),
        ("six hours", Duration),
        ("6 h", Duration),
        (" 6h", Duration),
        ("6h ", Duration),
        ("6H", Duration),
        ("+6h", Duration),
        ("--6h", Duration),
        ("1h-30m", Duration),
        ("1.5h", Duration),
        ("6h30", Duration),
        ("30m1h", Duration),
        ("1h1h", Duration),
        ("90000ms", Duration),
        ("1d", Duration),
        ("PT6H", Duration),
        ("06:00", Duration),
        ("0s", TooShort),
        ("0h0m0s", TooShort),
        ("59s", TooShort),
        ("-6h", TooShort),
        ("-9999h", TooShort),
        ("168h1s", TooLong),
        ("169h", TooLong),
        ("99999999999999999999999h", TooLong),
        ("18446744073709551615h18446744073709551615s", TooLong),
    ] {
        let duration = duration.to_owned();
        assert_eq!(
            error(WindowSpec {
                duration: duration.clone(),
                ..good()
            }),
            expected,
            "{duration}"
        );
    }
    for zone in [
        "",
        "Local",
        "CEST",
        "Berlin",
        "Europe/Atlantis",
        "Europe/Berlin ",
        "+02:00",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "../../etc/localtime",
        "/etc/localtime",
        "Etc/Unknown",
    ] {
        let time_zone = Some(zone.to_owned());
        assert_eq!(
            error(WindowSpec {
                time_zone,
                ..good()
            }),
            TimeZone,
            "{zone}"
        );
    }
    for (error, field) in [
        (Day, "days"),
        (Start, "start"),
        (Duration, "duration"),
        (TooShort, "duration"),
        (TooLong, "duration"),
        (TimeZone, "timeZone"),
    ] {
        assert_eq!(error.field(), field);
        assert!(error.to_string().starts_with("must "), "{error}");
    }
}

#[test]
fn a_duration_is_as_long_as_it_says() {
    for (text, seconds) in [
        ("1m", 60),
        ("60s", 60),
        ("90m", 90 * 60),
        ("1h30m", 90 * 60),
        ("1h30s", 60 * 60 + 30),
        ("0h90m0s", 90 * 60),
        ("06h", 6 * 60 * 60),
        ("167h59m60s", 168 * 60 * 60),
        ("168h", 168 * 60 * 60),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
}

#[test]
fn a_window_belongs_to_the_day_on_which_it_opens() {
    // 3 July 2026 is a Friday.
    let friday = window(&["Fri"], "22:00", "6h", "Europe/Berlin");
    for (now, open) in [
        ("2026-07-02T22:00+02", false),
        ("2026-07-03T01:00+02", false),
        ("2026-07-03T21:59:59.999+02", false),
        ("2026-07-03T22:00+02", true),
        ("2026-07-04T01:00+02", true),
        ("2026-07-04T03:59:59.999+02", true),
        ("2026-07-04T04:00+02", false),
        ("2026-07-04T22:00+02", false),
        ("2026-07-05T01:00+02", false),
        ("2026-07-10T22:00+02", true),
    ] {
        assert_eq!(is_open(&friday, now), open, "{now}");
    }
    assert_eq!(
        next(&friday, "2026-07-04T01:00+02"),
        (at("2026-07-10T22:00+02"), at("2026-07-11T04:00+02"))
    );
    assert_eq!(
        next(&friday, "2026-07-03T21:59:59.999+02").0,
        at("2026-07-03T22:00+02")
    );

    // The day is the local one: on Saturday in Auckland it is still Friday by UTC.
    let saturday = window(&["Sat"], "08:00", "1h", "Pacific/Auckland");
    assert!(is_open(&saturday, "2026-07-03T20:30Z"));
    assert!(!is_open(&saturday, "2026-07-04T20:30Z"));

    let nights = window(&["Mon", "Tue", "Wed", "Thu"], "22:00", "6h", "UTC");
    assert!(is_open(&nights, "2026-07-03T03:00Z"));
    assert!(!is_open(&nights, "2026-07-03T23:00Z"));
    assert!(!is_open(&nights, "2026-07-06T03:00Z"));
    assert_eq!(
        next(&nights, "2026-07-03T03:00Z").0,
        at("2026-07-06T22:00Z")
    );
}

#[test]
fn every_name_is_its_day() {
    // 29 June 2026 is a Monday.
    for (offset, (name, _)) in NAMES.into_iter().enumerate() {
        let day = window(&[name, name], "12:00", "1h", "UTC");
        let opening = Time(at("2026-06-29T12:00Z").0 + DAY * offset as u64);
        assert_eq!(next(&day, "2026-06-29T00:00Z").0, opening, "{name}");
    }
}

#[test]
fn a_change_of_the_clocks_makes_no_window_longer_or_shorter() {
    let nights = window(&[], "22:00", "6h", "Europe/Berlin");
    for (now, opening, end) in [
        // Forward at 02:00.
        (
            "2026-03-28T12:00+01",
            "2026-03-28T22:00+01",
            "2026-03-29T05:00+02",
        ),
        // Back at 03:00.
        (
            "2026-10-24T12:00+02",
            "2026-10-24T22:00+02",
            "2026-10-25T03:00+01",
        ),
    ] {
        assert_eq!(next(&nights, now), (at(opening), at(end)), "{now}");
    }
}

#[test]
fn a_start_that_the_clocks_skip_is_the_first_moment_after_the_gap() {
    for (start, zone, now, opening) in [
        (
            "02:00",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            "2026-03-29T03:00+02",
        ),
        (
            "02:30",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            "2026-03-29T03:00+02",
        ),
        (
            "02:59",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            "2026-03-29T03:00+02",
        ),
        (
            "03:00",
            "Europe/Berlin",
            "2026-03-28T12:00Z",
            "2026-03-29T03:00+02",
        ),
        // Half an hour.
        (
            "02:15",
            "Australia/Lord_Howe",
            "2026-10-03T12:00Z",
            "2026-10-04T02:30+11",
        ),
        // At midnight.
        (
            "00:00",
            "America/Havana",
            "2026-03-07T12:00-05",
            "2026-03-08T01:00-04",
        ),
        // By rules that go beyond what the database lists.
        (
            "02:30",
            "Europe/Berlin",
            "2126-03-30T12:00Z",
            "2126-03-31T03:00+02",
        ),
    ] {
        let window = window(&[], start, "1h", zone);
        let opening = at(opening);
        let end = Time(opening.0 + 60 * MINUTE);
        assert_eq!(next(&window, now), (opening, end), "{start} {zone}");
    }
    // A whole day: Samoa had no Friday, 30 December 2011.
    let friday = window(&["Fri"], "22:00", "1h", "Pacific/Apia");
    assert_eq!(
        next(&friday, "2011-12-29T12:00-10"),
        (at("2011-12-31T00:00+14"), at("2011-12-31T01:00+14"))
    );
    let longest = window(&["Fri"], "22:00", "168h", "Pacific/Apia");
    assert!(is_open(&longest, "2012-01-06T23:59+14"));
}

#[test]
fn a_start_that_the_clocks_show_twice_is_the_first_one() {
    let window_at = |start, zone| window(&[], start, "30m", zone);
    for start in ["02:00", "02:30"] {
        let berlin = window_at(start, "Europe/Berlin");
        let opening = at(&format!("2026-10-25T{start}+02"));
        let end = Time(opening.0 + 30 * MINUTE);
        assert_eq!(next(&berlin, "2026-10-24T12:00Z"), (opening, end));
        let again = format!("2026-10-25T{start}+01");
        assert!(!is_open(&berlin, &again), "{again}");
        let following = at(&format!("2026-10-26T{start}+01"));
        assert_eq!(next(&berlin, "2026-10-25T02:30+02").0, following);
    }
    // From 00:01 back to 23:01 of the day before.
    let sunday = window(&["Sun"], "00:00", "30m", "America/St_Johns");
    assert!(is_open(&sunday, "2010-11-07T00:00:59-02:30"));
    assert!(is_open(&sunday, "2010-11-06T23:01-03:30"));
    assert!(!is_open(&sunday, "2010-11-07T00:00-03:30"));
    let saturday = window(&["Sat"], "23:30", "30m", "America/St_Johns");
    assert!(is_open(&saturday, "2010-11-06T23:30-02:30"));
    assert!(!is_open(&saturday, "2010-11-06T23:30-03:30"));
}

#[test]
fn windows_that_meet_are_one() {
    let evening = window(&[], "22:00", "2h", "UTC");
    let midnight = window(&[], "00:00", "1h", "UTC");
    let late = window(&[], "23:30", "2h", "UTC");
    let noon = window(&[], "12:00", "1h", "UTC");
    let now = at("2026-07-03T22:00Z");
    for (windows, end) in [
        (vec![evening.clone()], "2026-07-04T00:00Z"),
        (
            vec![midnight.clone(), noon.clone(), evening.clone()],
            "2026-07-04T01:00Z",
        ),
        (vec![late, midnight, evening], "2026-07-04T01:30Z"),
    ] {
        assert_eq!(open_until(&windows, now), Some(at(end)));
    }
    assert_eq!(open_until(&[noon], now), None);

    let always = [window(&[], "00:00", "24h", "Europe/Berlin")];
    let until = open_until(&always, now).unwrap();
    assert!(until.0 >= now.0 + 14 * DAY);
    assert_eq!(
        next_opening(&always, at("2026-07-03T00:00+02")),
        Some(at("2026-07-04T00:00+02"))
    );
}

#[test]
fn no_windows_are_never_open() {
    for now in [Time(0), at("2026-07-03T22:00Z"), Time(u64::MAX)] {
        assert_eq!(open_until(&[], now), None);
        assert_eq!(next_opening(&[], now), None);
    }
}

#[test]
fn nothing_is_open_beyond_the_end_of_the_calendar() {
    let always = [window(&[], "00:00", "24h", "Europe/Berlin")];
    let last = u64::try_from(Timestamp::MAX.as_millisecond()).unwrap();
    for now in [last + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(open_until(&always, Time(now)), None, "{now}");
        assert_eq!(next_opening(&always, Time(now)), None, "{now}");
    }
    assert_eq!(next_opening(&always, Time(last)), None);
    assert!(open_until(&always, Time(last - 7 * DAY)).is_some());
    assert!(open_until(&always, Time(0)).is_some());
}

#[test]
fn every_gap_of_every_zone_ends_where_the_clocks_are_changed() {
    let zones = TimeZoneDatabase::bundled();
    let mut gaps = 0;
    for name in zones.available() {
        let Some(zone) = zone(name.as_str()) else {
            continue;
        };
        let end = "2040-01-01T00:00Z".parse().unwrap();
        let mut offset = zone.to_offset(Timestamp::UNIX_EPOCH);
        for change in zone
            .following(Timestamp::UNIX_EPOCH)
            .take_while(|change| change.timestamp() < end)
        {
            let (before, after) = (offset, change.offset());
            offset = after;
            let first = before.to_datetime(change.timestamp());
            let last = after
                .to_datetime(change.timestamp())
                .saturating_sub(jiff::SignedDuration::from_secs(1));
            if first > last {
                continue;
            }
            gaps += 1;
            for skipped in [first, last] {
                let window = Window {
                    days: Vec::new(),
                    start: skipped.time(),
                    duration: SHORTEST,
                    zone: zone.clone(),
                };
                assert_eq!(
                    window.opening(skipped.date()),
                    Some(change.timestamp()),
                    "{skipped} {name}"
                );
            }
        }
    }
    assert!(gaps > 1000, "{gaps}");
}

fn a_window() -> impl Strategy<Value = Window> {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "America/Havana",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "Africa/Casablanca",
        "Antarctica/Troll",
    ];
    let days = prop::sample::subsequence(NAMES.map(|(name, _)| name).to_vec(), 0..=7);
    let minutes = prop_oneof![1_u32..24 * 60, 1_u32..=168 * 60];
    (
        days,
        0..24,
        0..60,
        minutes,
        prop::sample::select(zones.to_vec()),
    )
        .prop_map(|(days, hour, minute, minutes, zone)| {
            let start = format!("{hour:02}:{minute:02}");
            window(&days, &start, &format!("{minutes}m"), zone)
        })
}

/// Mostly a moment for which the clocks of some zone are known to have been changed, or will be.
fn a_moment() -> impl Strategy<Value = Time> {
    let known = at("1990-01-01T00:00Z").0..at("2060-01-01T00:00Z").0;
    let samoa = at("2011-12-20T00:00Z").0..at("2012-01-10T00:00Z").0;
    let end = Timestamp::MAX.as_millisecond() as u64;
    prop_oneof![
        6 => known,
        1 => samoa,
        1 => end - 30 * DAY..end + DAY,
        1 => 0..30 * DAY,
        1 => any::<u64>(),
    ]
    .prop_map(Time)
}

proptest! {
    #[test]
    fn the_next_opening_is_one(windows in prop::collection::vec(a_window(), 0..4), now in a_moment()) {
        let opening = next_opening(&windows, now);
        if let Some(opening) = opening {
            prop_assert!(opening > now);
            prop_assert!(opening.0 <= now.0 + 9 * DAY);
            prop_assert!(open_until(&windows, opening).is_some());
            let before = Time(opening.0 - 1);
            let opens = windows.iter().any(|window| {
                let window = std::slice::from_ref(window);
                next_opening(window, before) == Some(opening)
            });
            prop_assert!(opens);
            prop_assert_eq!(next_opening(&windows, before), Some(opening));
            // What was closed stays so until then.
            if open_until(&windows, now).is_none() {
                prop_assert_eq!(open_until(&windows, before), None);
                prop_assert_eq!(open_until(&windows, Time(now.0.midpoint(opening.0))), None);
            }
        } else {
            // A window that would close after the end of the calendar does not open.
            let last = Timestamp::MAX.as_millisecond() as u64;
            prop_assert!(windows.is_empty() || now.0 > last - 16 * DAY);
        }
    }

    #[test]
    fn what_is_open_stays_so_until_the_end(windows in prop::collection::vec(a_window(), 0..4), now in a_moment()) {
        if let Some(until) = open_until(&windows, now) {
            prop_assert!(until > now);
            for later in [until.0 - 1, now.0.midpoint(until.0)] {
                let again = open_until(&windows, Time(later));
                prop_assert!(again >= Some(until), "{again:?} {until:?}");
            }
            if until.0 < now.0 + 14 * DAY {
                prop_assert_eq!(open_until(&windows, until), None);
            }
        }
    }

    #[test]
    fn one_that_is_shorter_than_the_time_between_openings_is_closed_at_its_end(
        start in 0_u64..24 * 60,
        minutes in 1_u64..23 * 60,
        now in a_moment(),
    ) {
        let text = format!("{:02}:{:02}", start / 60, start % 60);
        let window = [window(&[], &text, &format!("{minutes}m"), "Europe/Berlin")];
        if let Some(opening) = next_opening(&window, now) {
            let end = Time(opening.0 + minutes * MINUTE);
            prop_assert_eq!(open_until(&window, Time(opening.0 - 1)), None);
            prop_assert_eq!(open_until(&window, opening), Some(end));
            prop_assert_eq!(open_until(&window, Time(end.0 - 1)), Some(end));
            prop_assert_eq!(open_until(&window, end), None);
        }
    }

    /// By UTC, a calendar is a division.
    #[test]
    fn a_window_by_utc_is_what_counting_says(
        days in prop::collection::btree_set(0_u64..7, 1..=7),
        start in 0_u64..24 * 60,
        minutes in 1_u64..=168 * 60,
        now in 14 * DAY..100 * 365 * DAY,
    ) {
        let names: Vec<_> = days.iter().map(|day| NAMES[*day as usize].0).collect();
        let text = format!("{:02}:{:02}", start / 60, start % 60);
        let window = [window(&names, &text, &format!("{minutes}m"), "UTC")];
        // 1 January 1970 was a Thursday.
        let openings: Vec<_> = (now / DAY - 8..now / DAY + 9)
            .filter(|day| days.contains(&((day + 3) % 7)))
            .map(|day| day * DAY + start * MINUTE)
            .collect();
        let open = openings.iter().any(|opening| (*opening..opening + minutes * MINUTE).contains(&now));
        prop_assert_eq!(open_until(&window, Time(now)).is_some(), open);
        let next = openings.into_iter().find(|opening| *opening > now);
        prop_assert_eq!(next_opening(&window, Time(now)), next.map(Time));
    }

    #[test]
    fn no_text_makes_reading_panic(start in ".*", duration in "[-0-9hms.é]*", zone in ".*", day in ".*") {
        for spec in [
            spec(&[], &start, "6h", "UTC"),
            spec(&[], "22:00", &duration, "UTC"),
            spec(&[], "22:00", "6h", &zone),
            spec(&[&day], "22:00", "6h", "UTC"),
        ] {
            let _ = Window::try_from(&spec);
        }
    }
}
