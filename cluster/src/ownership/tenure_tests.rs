//! The steps of a tenure, one by one: what is done next, and after no answer.

use super::*;
use crate::ownership::claim::ClaimState;

type Frame = &'static str;

fn node(number: u128) -> Claimant {
    Claimant {
        node: Generation(id(number)),
        address: String::new(),
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A tenure and what it wants done.
struct Case {
    tenure: Tenure<Frame>,
    effects: Vec<Effect<Frame>>,
}

impl Case {
    fn claim(number: u128, claim: u128) -> Case {
        let mut effects = Vec::new();
        let tenure = Tenure::claim(node(number), id(claim), 4, &mut effects);
        Case { tenure, effects }
    }

    fn take_over(number: u128, claim: u128, offer: &Offer) -> Case {
        let mut effects = Vec::new();
        let tenure = Tenure::take_over(node(number), id(claim), offer, 4, &mut effects);
        Case { tenure, effects }
    }

    /// An owner of epoch 1.
    fn owner() -> Case {
        let mut case = Case::claim(1, 10);
        case.does(Input::Row(Ok(None)));
        case.does(Input::Swapped(Ok(Swap::Applied)));
        case.does(Input::Swapped(Ok(Swap::Applied)));
        assert!(case.tenure.may_submit());
        case.effects.clear();
        case
    }

    /// The effects of one more input alone.
    fn does(&mut self, input: Input<Frame>) -> &[Effect<Frame>] {
        self.effects.clear();
        self.tenure.handle(input, &mut self.effects);
        &self.effects
    }

    fn wanted_row(&self) -> (Expected, ClaimRow) {
        match self.effects.last() {
            Some(Effect::Swap { expected, row }) => (*expected, row.clone()),
            other => panic!("no swap: {other:?}"),
        }
    }
}

const EPOCH: Epoch = Epoch(1);

fn submit(frame: Frame, mark: u64) -> Input<Frame> {
    Input::Submit { frame, mark }
}

fn passed(through: u64) -> Input<Frame> {
    let epoch = EPOCH;
    Input::Passed { epoch, through }
}

fn write(seq: u64, frame: Frame) -> Effect<Frame> {
    let epoch = EPOCH;
    Effect::WriteFrame { epoch, seq, frame }
}

fn ask(mark: u64) -> Effect<Frame> {
    let epoch = EPOCH;
    Effect::AskGate { epoch, mark }
}

fn release(through: u64) -> Effect<Frame> {
    Effect::Release { through }
}

/// The row of node 1 that serves epoch 1.
fn row_of_one() -> ClaimRow {
    ClaimRow::first(&node(1), id(10)).serving(&[])
}

/// The row that node 2 left when it died between its claim and its seal.
fn row_of_two() -> ClaimRow {
    row_of_one().claimed_by(&node(2), id(20))
}

#[test]
fn a_claim_wins_then_fences_all_then_reads_then_rewrites_then_seals() {
    let mut case = Case::claim(3, 30);
    // Both epochs before are open.
    let row_of_two = || row_of_two().serving(&[]);
    assert_eq!(case.effects, [Effect::ReadRow]);
    case.does(Input::Row(Ok(Some(row_of_two()))));
    let (expected, claimed) = case.wanted_row();
    assert_eq!(expected, row_of_two().expected());
    let fences = [1, 2].map(|owner| Effect::WriteFence {
        node: node(owner).node,
        epoch: Epoch(3),
    });
    assert_eq!(case.does(Input::Swapped(Ok(Swap::Applied))), fences);
    assert!(
        case.does(Input::FenceWritten(node(2).node, Ok(())))
            .is_empty()
    );
    let again = &fences[..1];
    assert_eq!(
        case.does(Input::FenceWritten(node(1).node, Err(NoAnswer))),
        again
    );
    let read = |epoch, segment, from| Effect::ReadSegment {
        epoch: Epoch(epoch),
        segment,
        from,
    };
    assert_eq!(
        case.does(Input::FenceWritten(node(1).node, Ok(()))),
        [read(1, 0, 0)]
    );
    let frames = vec![(0, Stored::Whole("a")), (1, Stored::Whole("b"))];
    assert_eq!(
        case.does(Input::SegmentRead(Ok(frames))),
        [Effect::Replay(vec!["a", "b"]), read(1, 1, 2)]
    );
    assert_eq!(
        case.does(Input::SegmentRead(Err(NoAnswer))),
        [read(1, 1, 2)]
    );
    assert_eq!(
        case.does(Input::SegmentRead(Ok(vec![]))),
        [write(1, "b")],
        "the last frame is written again"
    );
    assert_eq!(
        case.does(Input::FrameWritten(Err(NoAnswer))),
        [write(1, "b")]
    );
    assert_eq!(case.does(Input::FrameWritten(Ok(()))), [read(2, 0, 0)]);
    assert_eq!(case.does(Input::SegmentRead(Ok(vec![]))), [read(2, 1, 0)]);
    case.does(Input::SegmentRead(Ok(vec![])));
    let (expected, sealed) = case.wanted_row();
    assert_eq!(expected, claimed.expected());
    assert_eq!(sealed.state, ClaimState::Serving);
    assert_eq!(sealed.chain[0].sealed, Some(2));
    assert_eq!(sealed.chain.len(), 2, "epoch 2 has no frame");
    assert!(!case.tenure.may_submit(), "nothing before the seal");
    let epoch = Epoch(3);
    assert_eq!(
        case.does(Input::Swapped(Ok(Swap::Applied))),
        [Effect::Serve { epoch }]
    );
}

#[test]
fn after_a_change_without_an_answer_the_row_tells() {
    let claimed = row_of_two();
    let other = row_of_one().claimed_by(&node(4), id(40));
    let fence = Effect::WriteFence {
        node: node(1).node,
        epoch: Epoch(2),
    };
    let again = Effect::Swap {
        expected: row_of_one().expected(),
        row: claimed.clone(),
    };
    let table = [
        (claimed, fence),
        (row_of_one(), again),
        (other, Effect::Ended(End::Superseded)),
    ];
    for (found, follows) in table {
        for answer in [Err(NoAnswer), Ok(Swap::Refused)] {
            let mut case = Case::claim(2, 20);
            case.does(Input::Row(Ok(Some(row_of_one()))));
            assert_eq!(case.does(Input::Swapped(answer)), [Effect::ReadRow]);
            assert_eq!(case.does(Input::Row(Err(NoAnswer))), [Effect::ReadRow]);
            let follows = std::slice::from_ref(&follows);
            assert_eq!(case.does(Input::Row(Ok(Some(found.clone())))), follows);
        }
    }
}

#[test]
fn a_seal_without_an_answer_is_repeated_with_the_same_length() {
    let mut case = Case::claim(2, 20);
    case.does(Input::Row(Ok(Some(row_of_one()))));
    case.does(Input::Swapped(Ok(Swap::Applied)));
    case.does(Input::FenceWritten(node(1).node, Ok(())));
    let frame = vec![(0, Stored::Whole("a"))];
    case.does(Input::SegmentRead(Ok(frame)));
    case.does(Input::SegmentRead(Ok(vec![])));
    case.does(Input::FrameWritten(Ok(())));
    let first = case.wanted_row();
    case.does(Input::Swapped(Err(NoAnswer)));
    case.does(Input::Row(Ok(Some(row_of_two()))));
    assert_eq!(case.wanted_row(), first);
}

#[test]
fn a_damaged_journal_is_not_sealed_unless_the_claim_is_lost() {
    let damage = End::Damaged {
        epoch: EPOCH,
        seq: 0,
    };
    let trimmed_by_another = row_of_two().claimed_by(&node(4), id(40));
    let table = [
        (row_of_two(), damage),
        (trimmed_by_another, End::Superseded),
    ];
    for (found, end) in table {
        let mut case = Case::claim(2, 20);
        case.does(Input::Row(Ok(Some(row_of_one()))));
        case.does(Input::Swapped(Ok(Swap::Applied)));
        case.does(Input::FenceWritten(node(1).node, Ok(())));
        let broken = vec![(0, Stored::Broken)];
        assert_eq!(case.does(Input::SegmentRead(Ok(broken))), [Effect::ReadRow]);
        assert_eq!(case.does(Input::Row(Err(NoAnswer))), [Effect::ReadRow]);
        assert_eq!(case.does(Input::Row(Ok(Some(found)))), [Effect::Ended(end)]);
        assert!(case.tenure.has_ended());
    }
}

#[test]
fn one_frame_is_in_flight_and_its_repeat_is_the_same() {
    let mut case = Case::owner();
    assert_eq!(case.does(submit("a", 1)), [write(0, "a")]);
    assert!(!case.tenure.may_submit());
    assert_eq!(
        case.does(Input::FrameWritten(Err(NoAnswer))),
        [write(0, "a")]
    );
    assert_eq!(case.does(Input::FrameWritten(Ok(()))), [ask(1)]);
    assert_eq!(case.does(submit("b", 2)), [write(1, "b")]);
    assert_eq!(case.does(passed(1)), [release(1)]);
}

#[test]
#[should_panic(expected = "one frame is in flight at a time")]
fn a_second_frame_in_flight_is_a_broken_invariant() {
    let mut case = Case::owner();
    case.does(submit("a", 1));
    case.does(submit("b", 2));
}

#[test]
fn an_answer_waits_for_the_frame_in_flight_and_for_the_gate_always() {
    let mut case = Case::owner();
    assert_eq!(case.does(Input::Answer { mark: 1 }), [ask(1)]);
    case.does(submit("a", 2));
    assert!(case.does(Input::Answer { mark: 3 }).is_empty());
    assert_eq!(case.does(Input::FrameWritten(Ok(()))), [ask(3)]);
}

#[test]
fn an_owner_ends_when_a_higher_epoch_is_seen_and_only_then() {
    let mut case = Case::owner();
    assert!(case.does(Input::Seen(EPOCH)).is_empty());
    let end = [Effect::Ended(End::Superseded)];
    assert_eq!(case.does(Input::Seen(Epoch(2))), end);
    assert!(case.does(passed(1)).is_empty());
}

#[test]
fn a_shard_is_offered_when_all_of_it_is_past_the_gate() {
    let mut case = Case::owner();
    case.does(submit("a", 1));
    assert!(case.does(Input::Freeze).is_empty());
    case.does(Input::FrameWritten(Ok(())));
    let offer = Offer {
        row: row_of_one(),
        frames: 1,
    };
    assert_eq!(
        case.does(passed(1)),
        [release(1), Effect::Frozen(offer.clone())]
    );
    assert!(!case.tenure.may_submit());
    let mut target = Case::take_over(2, 20, &offer);
    let (expected, row) = target.wanted_row();
    assert_eq!(expected, row_of_one().expected());
    assert_eq!(row, row_of_one().handed_to(&node(2), id(20), 1));
    let epoch = Epoch(2);
    assert_eq!(
        target.does(Input::Swapped(Ok(Swap::Applied))),
        [Effect::Serve { epoch }]
    );
}

#[test]
fn a_shard_is_taken_back_by_a_new_epoch_or_not_at_all() {
    let handed = row_of_one().handed_to(&node(2), id(20), 0);
    let back = row_of_one().handed_to(&node(1), id(11), 0);
    let epoch = Epoch(2);
    let table = [
        (handed, Effect::Ended(End::Superseded)),
        (back, Effect::Serve { epoch }),
    ];
    for (found, follows) in table {
        let mut case = Case::owner();
        case.does(Input::Freeze);
        case.does(Input::TakeBack { claim: id(11) });
        case.does(Input::Swapped(Ok(Swap::Refused)));
        assert_eq!(case.does(Input::Row(Ok(Some(found)))), [follows]);
    }
}

#[test]
fn a_trim_waits_for_the_gate_then_moves_the_base_then_deletes() {
    let mut case = Case::owner();
    let mut mark = 0;
    for _ in 0..9 {
        mark += 1;
        case.does(submit("a", mark));
        case.does(Input::FrameWritten(Ok(())));
    }
    let base = Base {
        epoch: EPOCH,
        seq: 8,
    };
    assert_eq!(case.does(Input::Trim { base, mark: 10 }), [ask(10)]);
    assert_eq!(case.does(passed(9)), [release(9)]);
    case.does(passed(10));
    assert_eq!(case.wanted_row().1, row_of_one().trimmed(base));
    assert!(!case.tenure.may_trim());
    let delete = |segment| Effect::DeleteSegment {
        epoch: EPOCH,
        segment,
    };
    assert_eq!(
        case.does(Input::Swapped(Ok(Swap::Applied))),
        [delete(0), delete(1), Effect::Trimmed(base)]
    );
}
