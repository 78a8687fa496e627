use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::watch;

use super::*;
use crate::source::{join::Slot, place::Place};

/// Reads a file and counts how often.
#[derive(Clone)]
struct Counting {
    path: PathBuf,
    reads: Arc<AtomicUsize>,
}

impl Reader for Counting {
    fn places(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn read(&self) -> Reading {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match fs::read(&self.path) {
            Ok(bytes) => {
                let shape = pullkeeper_core::authfile::Shape::ConfigJson;
                Reading {
                    revision: None,
                    content: Ok(Payload::new(shape, bytes.into())),
                }
            }
            Err(_) => Reading::failed(SourceError::FileNotFound {
                path: self.path.clone(),
            }),
        }
    }
}

impl Counting {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            reads: Arc::default(),
        }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn its_own_reading_is_no_event() {
    let place = Place::new();
    place.write("auth.json", "{}");
    let reader = Counting::new(&place.path("auth.json"));
    let mut source = place
        .follow(|slot, context| Box::pin(follow(slot, "file:x".into(), reader.clone(), context)));
    source.content("{}").await;
    // Reading is reading, whoever does it. Notifications keep their order: when the replacement is known, all of
    // these are done with.
    for _ in 0..1000 {
        fs::read(place.path("auth.json")).unwrap();
    }
    assert_eq!(reader.reads(), 1);
    place.replace("auth.json", "{\"a\":1}");
    source.content("{\"a\":1}").await;
    assert!(reader.reads() <= 3, "{}", reader.reads());
}

#[tokio::test]
async fn a_storm_beside_the_file_reads_nothing_and_one_in_it_not_much() {
    let place = Place::new();
    place.write("auth.json", "{}");
    let reader = Counting::new(&place.path("auth.json"));
    let mut source = place
        .follow(|slot, context| Box::pin(follow(slot, "file:x".into(), reader.clone(), context)));
    source.content("{}").await;
    let storm = |name: &'static str| {
        let path = place.path(name);
        spawn_blocking(move || {
            for _ in 0..3000 {
                File::create(&path).unwrap().write_all(b"{}").unwrap();
            }
        })
    };

    storm("other").await.unwrap();
    assert_eq!(reader.reads(), 1);

    let started = std::time::Instant::now();
    storm("auth.json").await.unwrap();
    place.replace("auth.json", "{\"end\":1}");
    source.content("{\"end\":1}").await;
    // What a burst may borrow, what the time has earned, and those about the end.
    let most = 10 + started.elapsed().as_millis() / 50;
    assert!(
        (reader.reads() as u128) < most,
        "{} of {most}",
        reader.reads()
    );
}

#[tokio::test]
async fn without_inotify_it_polls_and_says_so() {
    let place = Place::new();
    place.write("auth.json", "{}");
    let reader = Counting::new(&place.path("auth.json"));
    let follow =
        |slot: Slot, mut context: Context| -> futures_util::future::BoxFuture<'static, ()> {
            context.resync_interval = Duration::from_millis(200);
            let bell = Arc::new(Bell::default());
            let follower = Follower {
                observation: slot.observation(),
                slot,
                id: "file:x".into(),
                reader: Arc::new(reader.clone()),
                pacing: Pacing::new(Instant::now(), context.resync_interval),
                notice: Some(Notice::exhausted(Arc::clone(&bell))),
                bell,
                doubt: None,
            };
            Box::pin(async move { follower.run(&context).await })
        };
    let mut source = place.follow(follow);
    let limited = source.when(|o| o.trouble.is_some()).await;
    assert_eq!(limited.trouble.unwrap().reason().as_str(), "WatchLimit");

    place.replace("auth.json", "{\"polled\":1}");
    source.content("{\"polled\":1}").await;
    assert!(
        reader.reads() < 20,
        "the interval is kept: {}",
        reader.reads()
    );
}

#[tokio::test]
async fn a_resync_reads_now() {
    let place = Place::new();
    place.write("auth.json", "{}");
    let reader = Counting::new(&place.path("auth.json"));
    let mut source = place
        .follow(|slot, context| Box::pin(follow(slot, "file:x".into(), reader.clone(), context)));
    source.content("{}").await;
    source.context.terms.resync.request();
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while reader.reads() < 2 {
        assert!(std::time::Instant::now() < patience);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!source.observed.has_changed().unwrap());
}

/// Good news at once, bad news when they have stood: with readings made up and time virtual.
mod news {
    use pullkeeper_core::authfile::Shape;

    use super::*;

    struct Never;

    impl Reader for Never {
        fn places(&self) -> Vec<PathBuf> {
            Vec::new()
        }

        fn read(&self) -> Reading {
            content("")
        }
    }

    fn content(text: &str) -> Reading {
        let bytes = text.as_bytes().to_vec().into();
        Reading {
            revision: None,
            content: Ok(Payload::new(Shape::ConfigJson, bytes)),
        }
    }

    fn absent() -> Reading {
        Reading::failed(SourceError::FileNotFound { path: "/p".into() })
    }

    fn follower(now: Instant) -> Follower<Never> {
        let (all, _) = watch::channel(vec![Observation::none_yet("global", None)]);
        let slot = Slot::of(all);
        let bell = Arc::new(Bell::default());
        Follower {
            observation: slot.observation(),
            slot,
            id: "file:/p".into(),
            reader: Arc::new(Never),
            pacing: Pacing::new(now, Duration::from_secs(60)),
            notice: Some(Notice::new(Arc::clone(&bell))),
            bell,
            doubt: None,
        }
    }

    /// Looks as often as the pacing asks for it and returns when the reading was reported.
    fn reported_after(
        follower: &mut Follower<Never>,
        reading: impl Fn(u32) -> Reading,
    ) -> Duration {
        let start = Instant::now();
        let before = follower.observation.clone();
        let mut now = start;
        for look in 0.. {
            follower.pacing.looked(now, true);
            follower.learn(reading(look), now);
            if follower.observation != before || follower.doubt.is_none() {
                break;
            }
            now = follower.pacing.next();
        }
        now - start
    }

    #[test]
    fn timing() {
        let now = Instant::now();
        let mut follower = follower(now);
        assert_eq!(
            reported_after(&mut follower, |_| absent()),
            Duration::ZERO,
            "the first ever"
        );
        assert_eq!(
            reported_after(&mut follower, |_| content("{}")),
            Duration::ZERO
        );
        assert_eq!(reported_after(&mut follower, |_| absent()), SETTLE);
        assert_eq!(
            reported_after(&mut follower, |_| content("[]")),
            Duration::ZERO
        );
        assert_eq!(
            reported_after(&mut follower, |_| content("[")),
            SETTLE,
            "incomplete"
        );
        let growing = |look| content(&"[".repeat(look as usize + 2));
        assert_eq!(reported_after(&mut follower, growing), LONGEST_SETTLE);
    }

    #[test]
    fn bad_news_that_pass_are_forgotten() {
        let mut follower = follower(Instant::now());
        reported_after(&mut follower, |_| content("{}"));
        let before = follower.observation.clone();
        let restored = |look| if look == 0 { absent() } else { content("{}") };
        reported_after(&mut follower, restored);
        assert_eq!(follower.observation, before);
        assert_eq!(
            reported_after(&mut follower, |_| absent()),
            SETTLE,
            "counted from now"
        );
    }
}
