//! Broken promises, planted one by one into a history that keeps them all: each is found, by its rule.

use super::check::{Checker, Verdict, check};
use super::history::{Call, HistoryError, Message, Operation, Outcome, State};
use super::violation::Rule;
use crate::domain::id::{IdStamp, MessageId};
use crate::domain::time::UnixMs;
use crate::domain::username::Route;

const MINUTE_MS: u64 = 60_000;
const READ_BY_A_LOST_ANSWER: &str = "2026-01-01T00:00:00.150Z";

fn id(number: u64) -> String {
    let stamp = IdStamp {
        ms: UnixMs(number),
        counter: 0,
    };
    MessageId::new(stamp, Route(1), number).to_string()
}

fn operation(started_us: u64, call: Call, outcome: Outcome) -> Operation {
    Operation {
        client: 1,
        started_us,
        ended_us: started_us + 9,
        key: None,
        call,
        outcome,
    }
}

fn post(started_us: u64, text: &str, outcome: Outcome) -> Operation {
    let (user, text) = (String::from("ann"), String::from(text));
    operation(
        started_us,
        Call::Post {
            user,
            text,
            timeout_ms: MINUTE_MS,
        },
        outcome,
    )
}

fn posted(number: u64) -> Outcome {
    Outcome::Posted { id: id(number) }
}

fn take(started_us: u64, outcome: Outcome) -> Operation {
    operation(
        started_us,
        Call::Take {
            user: String::from("ann"),
            limit: None,
        },
        outcome,
    )
}

fn taken(messages: &[(u64, &str)]) -> Outcome {
    let message = |(number, text): &(u64, &str)| Message {
        id: id(*number),
        text: (*text).into(),
    };
    Outcome::Taken {
        messages: messages.iter().map(message).collect(),
    }
}

fn find(
    started_us: u64,
    number: u64,
    text: &str,
    state: State,
    read_at: Option<&str>,
) -> Operation {
    let (user, text) = (String::from("ann"), String::from(text));
    let read_at = read_at.map(String::from);
    let outcome = Outcome::Found {
        user,
        text,
        state,
        read_at,
    };
    operation(started_us, Call::Find { id: id(number) }, outcome)
}

fn keyed(key: &str, operation: Operation) -> Operation {
    Operation {
        key: Some(key.into()),
        ..operation
    }
}

/// Places in [`sound`].
const POST_A: usize = 0;
const POST_B_AGAIN: usize = 2;
const TAKE_AB: usize = 3;
const TAKE_AB_AGAIN: usize = 4;
const POST_C_IN_DOUBT: usize = 5;
const POST_D: usize = 6;
const TAKE_IN_DOUBT: usize = 7;
const POST_E: usize = 8;
const POST_REFUSED: usize = 9;
const POST_EXPIRED: usize = 10;
const COUNT: usize = 11;
const TAKE_CE: usize = 12;
const FIND_A: usize = 13;
const FIND_D: usize = 15;

/// Everything that may happen: repeats, doubt, refusal, expiry, and a look-up of all at the end.
fn sound() -> Vec<Operation> {
    let expired = Call::Post {
        user: "ann".into(),
        text: "x".into(),
        timeout_ms: 0,
    };
    let refused = Outcome::Refused { status: 503 };
    let read = |started_us, number, text| find(started_us, number, text, State::Read, Some("t"));
    vec![
        post(10, "a", posted(1)),
        keyed("p", post(30, "b", posted(2))),
        keyed("p", post(50, "b", posted(2))),
        keyed("r", take(70, taken(&[(1, "a"), (2, "b")]))),
        keyed("r", take(85, taken(&[(1, "a"), (2, "b")]))),
        post(100, "c", Outcome::Unknown),
        post(120, "d", posted(4)),
        take(140, Outcome::Unknown),
        post(160, "e", posted(5)),
        post(170, "f", refused),
        operation(175, expired, posted(6)),
        operation(
            185,
            Call::Count { user: "ann".into() },
            Outcome::Counted { unread: 1 },
        ),
        take(200, taken(&[(3, "c"), (5, "e")])),
        read(300, 1, "a"),
        read(310, 2, "b"),
        find(320, 4, "d", State::Read, Some(READ_BY_A_LOST_ANSWER)),
        read(330, 5, "e"),
        find(340, 6, "x", State::Expired, None),
    ]
}

fn judge(history: &[Operation]) -> Verdict {
    let mut checker = Checker::default();
    for (line, operation) in (1..).zip(history) {
        checker.add(line, operation).expect("an operation");
    }
    checker.finish()
}

type Change = fn(&mut Vec<Operation>);

/// What went wrong, how the history shows it, and the rule that finds it.
const PLANTED: &[(&str, Rule, Change)] = &[
    (
        "a second read delivers it again",
        Rule::DeliveredTwice,
        |history| {
            history[TAKE_CE].outcome = taken(&[(1, "a"), (3, "c"), (5, "e")]);
        },
    ),
    (
        "one answer holds it twice",
        Rule::DeliveredTwice,
        |history| {
            history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (5, "e")]);
        },
    ),
    (
        "a post in doubt is delivered by two reads",
        Rule::DeliveredTwice,
        |history| {
            history.insert(FIND_A, take(220, taken(&[(3, "c")])));
        },
    ),
    (
        "a post in doubt is done twice",
        Rule::DeliveredTwice,
        |history| {
            history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (7, "c")]);
        },
    ),
    (
        "keys were not the same read",
        Rule::DeliveredTwice,
        |history| {
            history[TAKE_AB_AGAIN].key = Some("other".into());
        },
    ),
    ("nobody posted it", Rule::NeverPosted, |history| {
        history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (9, "made up")]);
    }),
    (
        "an acknowledged post is done again under another id",
        Rule::NeverPosted,
        |history| {
            history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (9, "a")]);
        },
    ),
    (
        "a refused post is delivered",
        Rule::NeverPosted,
        |history| {
            history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (9, "f")]);
        },
    ),
    ("another text is delivered", Rule::Altered, |history| {
        history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "a")]);
    }),
    ("another mailbox delivers it", Rule::Altered, |history| {
        for read in [TAKE_AB, TAKE_AB_AGAIN] {
            history[read].call = Call::Take {
                user: "bob".into(),
                limit: None,
            };
        }
    }),
    ("a look-up tells another text", Rule::Altered, |history| {
        history[FIND_A] = find(300, 1, "b", State::Read, Some("t"));
    }),
    ("no read delivers it", Rule::Lost, |history| {
        history[TAKE_CE].outcome = taken(&[(3, "c")]);
        history[TAKE_IN_DOUBT].outcome = Outcome::Refused { status: 503 };
    }),
    (
        "a read before the read in doubt does not deliver it",
        Rule::Lost,
        |history| {
            history.insert(TAKE_IN_DOUBT, take(130, taken(&[])));
            history[POST_D].ended_us = 129;
        },
    ),
    (
        "a read between acknowledgement and delivery is empty",
        Rule::Missed,
        |history| {
            history.insert(TAKE_CE, take(180, taken(&[])));
        },
    ),
    ("a look-up does not find it", Rule::NotFound, |history| {
        history[FIND_A].outcome = Outcome::Refused { status: 404 };
    }),
    (
        "a look-up did not find it for a moment",
        Rule::NotFound,
        |history| {
            let mut missing = history[FIND_A].clone();
            (missing.started_us, missing.ended_us) = (20, 25);
            missing.outcome = Outcome::Refused { status: 404 };
            history.push(missing);
        },
    ),
    (
        "the look-up at the end is missing",
        Rule::NotLookedUp,
        |history| {
            history.remove(FIND_D);
        },
    ),
    (
        "the look-up at the end had no answer",
        Rule::NotLookedUp,
        |history| {
            history[FIND_D].outcome = Outcome::Refused { status: 503 };
        },
    ),
    (
        "it is told as read before any read",
        Rule::ReadByNobody,
        |history| {
            history.push(find(60, 1, "a", State::Read, Some("t")));
        },
    ),
    (
        "a refused read has consumed",
        Rule::ReadByNobody,
        |history| {
            history[TAKE_IN_DOUBT].outcome = Outcome::Refused { status: 503 };
        },
    ),
    (
        "one read in doubt took at two times",
        Rule::ReadByNobody,
        |history| {
            let both = find(315, 7, "g", State::Read, Some("another time"));
            history.insert(TAKE_CE, post(190, "g", posted(7)));
            history.push(both);
        },
    ),
    (
        "what was delivered is told as unread",
        Rule::NotConsumed,
        |history| {
            history[FIND_A] = find(300, 1, "a", State::Unread, None);
        },
    ),
    (
        "what was delivered is told as expired",
        Rule::NotConsumed,
        |history| {
            history[FIND_A] = find(300, 1, "a", State::Expired, None);
        },
    ),
    ("it expires a minute early", Rule::ExpiredEarly, |history| {
        history[FIND_D] = find(320, 4, "d", State::Expired, None);
    }),
    (
        "a repeated post has another id",
        Rule::RepeatDiffers,
        |history| {
            history[POST_B_AGAIN].outcome = posted(9);
        },
    ),
    (
        "a repeated read has fewer messages",
        Rule::RepeatDiffers,
        |history| {
            history[TAKE_AB_AGAIN].outcome = taken(&[(1, "a")]);
        },
    ),
    (
        "a repeated read that was empty has messages",
        Rule::RepeatDiffers,
        |history| {
            history.insert(FIND_A, keyed("e", take(230, taken(&[(9, "z")]))));
            history.insert(FIND_A, keyed("e", take(220, taken(&[]))));
        },
    ),
    ("an answer is not sorted", Rule::OutOfOrder, |history| {
        history[TAKE_CE].outcome = taken(&[(5, "e"), (3, "c")]);
    }),
    (
        "a later read delivers an earlier message",
        Rule::OutOfOrder,
        |history| {
            history[TAKE_CE].call = Call::Take {
                user: "ann".into(),
                limit: Some(1),
            };
            history[TAKE_CE].outcome = taken(&[(5, "e")]);
            history.insert(FIND_A, take(220, taken(&[(3, "c")])));
        },
    ),
    (
        "a later post has a smaller id",
        Rule::OutOfOrder,
        |history| {
            history[POST_A].outcome = posted(3);
        },
    ),
    ("two posts have one id", Rule::IdTwice, |history| {
        history[POST_E].outcome = posted(4);
    }),
    ("a count misses what waits", Rule::Miscounted, |history| {
        history[COUNT].outcome = Outcome::Counted { unread: 0 };
    }),
    ("a count counts what is gone", Rule::Miscounted, |history| {
        history[COUNT].outcome = Outcome::Counted { unread: 5 };
    }),
];

/// What looks odd and keeps the promise.
const HARMLESS: &[(&str, Change)] = &[
    ("nothing happened", |history| history.clear()),
    ("as it is", |_| {}),
    ("lines in another order", |history| history.reverse()),
    ("a post in doubt was not done", |history| {
        history[TAKE_CE].outcome = taken(&[(5, "e")]);
    }),
    ("a read that overlaps the delivery is empty", |history| {
        history.insert(TAKE_CE, take(195, taken(&[])));
    }),
    ("a read that overlaps the post is empty", |history| {
        history.insert(TAKE_CE, take(165, taken(&[])));
    }),
    ("a full read leaves the rest", |history| {
        history[TAKE_CE].call = Call::Take {
            user: "ann".into(),
            limit: Some(1),
        };
        history[TAKE_CE].outcome = taken(&[(3, "c")]);
        history.insert(FIND_A, take(220, taken(&[(5, "e")])));
    }),
    (
        "a read in doubt is answered when it is repeated",
        |history| {
            history[TAKE_IN_DOUBT].key = Some("d".into());
            history[TAKE_CE].outcome = taken(&[(5, "e")]);
            history.insert(TAKE_CE, keyed("d", take(165, taken(&[(3, "c"), (4, "d")]))));
        },
    ),
    (
        "a repeat in doubt is refused, and the first try was done",
        |history| {
            history[POST_C_IN_DOUBT].key = Some("c".into());
            let refused = Outcome::Refused { status: 503 };
            history.insert(POST_D, keyed("c", post(111, "c", refused)));
        },
    ),
    ("a repeat is in doubt after an answer", |history| {
        history.insert(FIND_A, keyed("p", post(205, "b", Outcome::Unknown)));
    }),
    ("what waits at the end is found", |history| {
        history.insert(TAKE_CE, post(200, "g", posted(7)));
        history.push(find(350, 7, "g", State::Unread, None));
    }),
    ("a deadline passes before the read", |history| {
        let Call::Post { timeout_ms, .. } = &mut history[POST_D].call else {
            return;
        };
        *timeout_ms = 1;
        history[TAKE_IN_DOUBT].outcome = Outcome::Refused { status: 503 };
        history[FIND_D] = find(320, 4, "d", State::Expired, None);
    }),
    ("posts that overlap have no order", |history| {
        history[POST_REFUSED] = post(165, "f", posted(7));
        history[POST_EXPIRED].started_us = 174;
        history[COUNT].outcome = Outcome::Counted { unread: 2 };
        history[TAKE_CE].outcome = taken(&[(3, "c"), (5, "e"), (7, "f")]);
        history.push(find(350, 7, "f", State::Read, Some("t")));
    }),
    (
        "a look-up before the acknowledgement finds nothing",
        |history| {
            let mut missing = history[FIND_A].clone();
            (missing.started_us, missing.ended_us) = (15, 30);
            missing.outcome = Outcome::Refused { status: 404 };
            history.push(missing);
        },
    ),
];

#[test]
fn every_planted_violation_is_found_by_its_rule_and_named() {
    for (what, rule, change) in PLANTED {
        let mut history = sound();
        change(&mut history);
        let verdict = judge(&history);
        let found = verdict
            .violations
            .iter()
            .find(|violation| violation.rule == *rule);
        let found = found.unwrap_or_else(|| panic!("{what}: only {:#?}", verdict.violations));
        let line = found.to_string();
        assert!(
            line.contains("of ann ") || line.contains("of bob "),
            "{what}: {line}"
        );
        assert!(line.contains(" on line "), "{what}: {line}");
        assert_eq!(
            line.contains("message "),
            found.id.is_some(),
            "{what}: {line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
}

#[test]
fn a_history_that_keeps_the_promise_has_no_violation() {
    for (what, change) in HARMLESS {
        let mut history = sound();
        change(&mut history);
        let verdict = judge(&history);
        assert!(
            verdict.violations.is_empty(),
            "{what}: {:#?}",
            verdict.violations
        );
        assert_eq!(verdict.violations_total, 0);
    }
}

#[test]
fn a_verdict_counts_what_it_rests_on() {
    let verdict = judge(&sound());
    assert_eq!(verdict.operations, 18);
    assert_eq!(
        (verdict.acknowledged, verdict.delivered, verdict.in_doubt),
        (5, 3, 2)
    );
}

#[test]
fn a_history_is_read_back_as_it_was_written() {
    let lines: Vec<_> = sound().iter().map(Operation::to_line).collect();
    let text = format!("{}\n\n", lines.join("\n"));
    let verdict = check(text.as_bytes()).expect("a history");
    assert_eq!((verdict.operations, verdict.violations_total), (18, 0));
}

#[test]
fn lines_that_are_no_operation_are_refused_with_their_number() {
    let mut backwards = sound().remove(0);
    backwards.ended_us = 0;
    let mut mismatched = sound().remove(0);
    mismatched.outcome = taken(&[]);
    let mut nameless = sound().remove(0);
    nameless.outcome = Outcome::Posted { id: "1".into() };
    let lines = [&backwards, &mismatched, &nameless].map(Operation::to_line);
    for line in lines
        .iter()
        .map(String::as_str)
        .chain(["{", "{}", "[1]", "\u{0}"])
    {
        let error = check(format!("\n{line}\n").as_bytes()).expect_err(line);
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }
    let error = check(&b"{}"[..]).expect_err("no operation");
    assert!(
        matches!(error, HistoryError::Json { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn violations_beyond_the_first_thousand_are_only_counted() {
    let made_up: Vec<_> = (1..=3_000).map(|number| (number, "x")).collect();
    let verdict = judge(&[take(1, taken(&made_up))]);
    assert_eq!(verdict.violations_total, 3_000);
    assert_eq!(verdict.violations.len(), 1_000);
}
