use pullkeeper_core::authfile::Shape;

use super::*;

const GOOD: &str = r#"{"auths":{"a.example":{"auth":"dXNlcjpwYXNz"}}}"#;
const OTHER: &str = r#"{"auths":{"b.example":{"auth":"dXNlcjpwYXNz"}}}"#;
const MIXED: &str = r#"{"auths":{"a.example":{"auth":"bar"},"b.example":{"auth":"dXNlcjpwYXNz"}}}"#;

fn gate() -> Gate {
    Gate::new(ValidationSettings {
        bad_entry: BadEntry::Skip,
        allow_empty: false,
        required_registries: Vec::new(),
        required_action: RequiredAction::Warn,
    })
}

fn item(id: &str, content: Result<&str, SourceError>) -> Item {
    let payload = |text: &str| Payload {
        shape: Shape::ConfigJson,
        bytes: Arc::new(Zeroizing::new(text.as_bytes().to_vec())),
    };
    Item {
        id: id.to_owned(),
        revision: None,
        content: content.map(payload),
        seen: Instant::now(),
    }
}

fn observed(items: Option<Vec<Item>>) -> [Observation; 1] {
    [Observation {
        source: "global".into(),
        namespace: None,
        items,
        trouble: None,
    }]
}

fn gone() -> SourceError {
    SourceError::FileNotFound {
        path: "/gone".into(),
    }
}

fn keys(wish: &Wish) -> Vec<String> {
    let documents = wish.items.iter().filter_map(|item| item.good.as_ref());
    documents
        .flat_map(|good| good.document.entries().map(|entry| entry.key().to_owned()))
        .collect()
}

#[test]
fn the_last_good_state_stays_whatever_comes_after_it() {
    let mut gate = gate();
    assert_eq!(
        keys(&gate.pass(&observed(Some(vec![item("x", Ok(GOOD))])))),
        ["a.example"]
    );
    for bad in [Ok("{"), Ok("{}"), Ok("null"), Ok("[]"), Err(gone())] {
        let wish = gate.pass(&observed(Some(vec![item("x", bad)])));
        assert_eq!(
            (keys(&wish), wish.items[0].standing),
            (vec!["a.example".to_owned()], Standing::LastGood)
        );
        assert!(!wish.items[0].findings.is_empty());
    }
    let wish = gate.pass(&observed(Some(vec![item("x", Ok(OTHER))])));
    assert_eq!(
        (keys(&wish), wish.items[0].standing),
        (vec!["b.example".to_owned()], Standing::Good)
    );
}

#[test]
fn a_source_that_falls_silent_keeps_what_the_gate_knows() {
    let mut gate = gate();
    gate.pass(&observed(Some(vec![item("x", Ok(GOOD))])));
    // As after a reload: the source starts over and has not answered yet.
    let wish = gate.pass(&observed(None));
    assert_eq!(wish.items[0].standing, Standing::Pending);
    assert!(
        wish.contributions()[0].document.is_none(),
        "what is on disk is held"
    );
    let wish = gate.pass(&observed(Some(vec![item("x", Err(gone()))])));
    assert_eq!(keys(&wish), ["a.example"]);
}

#[test]
fn a_broken_entry_is_held_by_its_name() {
    let wish = gate().pass(&observed(Some(vec![item("x", Ok(MIXED))])));
    assert_eq!(keys(&wish), ["b.example"]);
    assert_eq!(wish.contributions()[0].broken, ["a.example"]);
}

#[test]
fn what_a_selector_no_longer_finds_goes_but_never_everything() {
    let mut gate = gate();
    let two = vec![item("one", Ok(GOOD)), item("two", Ok(OTHER))];
    assert_eq!(
        keys(&gate.pass(&observed(Some(two)))),
        ["a.example", "b.example"]
    );
    let wish = gate.pass(&observed(Some(vec![item("two", Ok(OTHER))])));
    assert_eq!(
        (keys(&wish), wish.withheld),
        (vec!["b.example".to_owned()], false)
    );
    let wish = gate.pass(&observed(Some(Vec::new())));
    assert!(wish.withheld && wish.findings[0].reason == Reason::EmptyAuths);
}
