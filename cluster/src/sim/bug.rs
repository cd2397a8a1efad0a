//! The planted bugs: each leaves out one rule, or one part of it, and the simulator must find it.
//!
//! It owns their list, in the order of the rules that they name, and which race window of the design
//! each guards. How a bug is built in is mostly in `planted` and `spoiled`.

use std::fmt;

macro_rules! planted {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// One wrong way to build this service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PlantedBug {
            $($(#[doc = $doc])+ $name,)+
        }

        impl PlantedBug {
            /// All of them, in the order of the rules.
            pub const ALL: &[PlantedBug] = &[$(PlantedBug::$name,)+];
        }
    };
}

planted! {
    /// R1: the claim row is written without comparing it, as two lease holders would.
    ClaimWithoutCompare,
    /// R1: a compare-and-set without an answer is taken for applied.
    AssumeApplied,
    /// R1: the journal is read before the claim.
    ReadBeforeClaim,
    /// R1: a node leaves a claim of its own that it does not serve.
    LeaveUnservedClaim,
    /// R1, R10: the base is not compared, so that a late trim or claim moves it back.
    CompareWithoutBase,
    /// Fence: none is written.
    NoFence,
    /// Fence: only the last claimant is fenced, though its claim came to nothing.
    FenceLastOwnerOnly,
    /// Fence: it is written only after the journal was read.
    FenceAfterRead,
    /// Fence: it is written at one replica.
    FenceAtOne,
    /// Fence: it is read from one replica.
    FenceReadAtOne,
    /// Fence: the newest by the clocks wins, not the highest epoch.
    FenceByWallClock,
    /// Fence: it expires.
    FenceWithTtl,
    /// R2: the last frame is not written again.
    NoRewrite,
    /// R2: a seal without an answer is repeated with another length.
    RecomputeLength,
    /// R2: the new owner does not wait for its seal.
    WriteBeforeSeal,
    /// R2: the journal is sealed at a gap before a later frame.
    SealOverGap,
    /// R2: a gap is taken for damage at the first reading.
    AlarmAtFirstGap,
    /// R2: the journal is read from one replica.
    JournalReadAtOne,
    /// R2: only the epoch of the last claimant is recovered, though nobody sealed those before.
    RecoverLastEpochOnly,
    /// R3: frames past a seal count.
    IgnoreSeal,
    /// R3: frames before the base count.
    ReadBeforeBase,
    /// R4: answers leave when they are durable.
    NoGate,
    /// R4: the fence is read while the frame is on its way.
    FenceReadBeforeCommit,
    /// R4: look-ups and their misses do not pass the gate.
    NoGateForLookups,
    /// R4: empty answers do not pass the gate.
    NoGateForEmpty,
    /// R4: a look-up does not wait for the frame in flight.
    LookupBeforeDurable,
    /// R4, R5: a frame counts as durable at one replica.
    FrameAtOne,
    /// R5: two frames are in flight.
    TwoInFlight,
    /// R5: a frame without an answer is repeated with more in it.
    RewriteOtherBytes,
    /// R5: a frame without an answer is undone in memory.
    UnConsume,
    /// R5: a shard restarts inside its process under the same epoch.
    ReuseEpoch,
    /// R6: a read is not an event.
    ReadUnrecorded,
    /// R6: an empty read with a key is not an event.
    EmptyReadUnrecorded,
    /// R6: recovery forgets which read a key was for.
    ReadKeyForgotten,
    /// R7: memory forgets before the archive row is durable.
    ForgetBeforeFlush,
    /// R7: archive rows are written before the gate.
    FlushBeforeGate,
    /// R7: an archive row holds the time of its writing.
    ArchiveByWallClock,
    /// R7: an archive row is durable at one replica.
    ArchiveAtOne,
    /// R7: a look-up asks the archive first, then the owner.
    ArchiveBeforeOwner,
    /// R7: a miss in the archive is answered without an owner.
    MissWithoutOwner,
    /// R8: the shard clock follows every jump of the wall clock.
    ClockFollowsWall,
    /// R8: the clock of a new owner does not start at the last frame's time.
    ClockNotFloored,
    /// R8: the clock of a shard follows monotonic time alone, and stands still while nobody owns it.
    ClockIgnoresWall,
    /// R8: an answer that depends on an expiry does not wait for a frame.
    ExpiryWithoutFrame,
    /// R8: a node with a wrong clock keeps its shards.
    UnfitServes,
    /// R8, R10: frames of the journal expire in the store.
    JournalWithTtl,
    /// R9: the deciding event does not record the op id.
    OpIdUnrecorded,
    /// R9: an empty read that repeats one in doubt is not an event.
    EmptyRepeatUnrecorded,
    /// R9, hand-off 2: the op ids stay behind.
    OpIdsLeftBehind,
    /// R9: a call without an answer is tried again under another op id.
    RetryWithNewOpId,
    /// R9: a call in doubt is refused as if nothing had been done.
    RefuseInDoubt,
    /// R10: the base is moved before the survivors are durable.
    TrimBeforeGate,
    /// R10: nothing survives.
    TrimWithoutSurvivors,
    /// R10: op ids and keys do not survive.
    TrimForgetsOps,
    /// R10: the segment is deleted before the base is moved.
    DeleteBeforeBase,
    /// Hand-off 1: the owner does not freeze the shard.
    HandOffWithoutFreeze,
    /// Hand-off 1: the last frame is not waited for.
    HandOffBeforeDurable,
    /// Hand-off 2: the target serves without a change of the claim row.
    HandOffWithoutClaim,
    /// Hand-off 3: the owner waits for ever for a target that stalls.
    NeverTakeBack,
    /// Hand-off 3: the owner goes on when the target stalls, without a claim.
    TakeBackWithoutClaim,
}

impl PlantedBug {
    /// The race windows of the design, and in each what goes wrong there without its rule.
    pub const RACES: &[(&str, &[PlantedBug])] = &[
        (
            "a paused owner resumes and then writes",
            &[Self::IgnoreSeal, Self::NoGate],
        ),
        (
            "an owner is paused after the write, before the gate",
            &[Self::FenceReadBeforeCommit, Self::FenceReadAtOne],
        ),
        (
            "an owner is paused after the gate",
            &[Self::FenceAfterRead, Self::ReadBeforeClaim],
        ),
        (
            "an old write surfaces later",
            &[Self::IgnoreSeal, Self::ReadBeforeBase],
        ),
        (
            "the successor sees a frame on a minority of replicas",
            &[Self::NoRewrite, Self::JournalReadAtOne],
        ),
        (
            "a failover of the membership gives two lease holders",
            &[Self::ClaimWithoutCompare],
        ),
        (
            "the claimant dies between claim and fence",
            &[Self::FenceLastOwnerOnly],
        ),
        (
            "the seal times out and applies late",
            &[Self::RecomputeLength, Self::WriteBeforeSeal],
        ),
        (
            "a shard restarts inside one process",
            &[Self::ReuseEpoch, Self::LeaveUnservedClaim],
        ),
        (
            "the claimant dies before the seal",
            &[Self::RecoverLastEpochOnly],
        ),
        (
            "the reader dies after the gate",
            &[Self::ReadUnrecorded, Self::ReadKeyForgotten],
        ),
        (
            "the owner dies after the commit, before answering a forwarded call",
            &[Self::OpIdUnrecorded, Self::RetryWithNewOpId],
        ),
        (
            "look-up by id during the flush",
            &[Self::ForgetBeforeFlush, Self::ArchiveBeforeOwner],
        ),
        ("look-up by id without an owner", &[Self::MissWithoutOwner]),
    ];

    /// The one with this name.
    pub fn by_name(name: &str) -> Option<PlantedBug> {
        let mut all = PlantedBug::ALL.iter().copied();
        all.find(|bug| bug.to_string() == name)
    }
}

impl fmt::Display for PlantedBug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}
