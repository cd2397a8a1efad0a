//! What every implementation of the three traits promises. An implementation gives a [`Factory`]; the
//! macro at the end makes a test of every promise.

pub mod journal;

pub mod archive;

pub mod renewal;

use mayfly::store::archive::Archive;
use mayfly::store::claims::Claims;
use mayfly::store::journal::Journal;

/// Makes the stores under test, on data of its own.
pub trait Factory: Default {
    /// What it makes.
    type Claims: Claims;
    /// What it makes.
    type Journal: Journal;
    /// What it makes.
    type Archive: Archive;

    /// Opens the data: empty at first, later what was left there.
    fn open(&mut self) -> Opened<Self>;

    /// Closes without warning and opens again, as after a crash.
    fn crash(&mut self, opened: Opened<Self>) -> Opened<Self>;

    /// Appends until the journal has gone on to a new place.
    fn next_place(&self, opened: &Opened<Self>);
}

/// The three stores.
pub struct Opened<F: Factory> {
    pub claims: F::Claims,
    pub journal: F::Journal,
    pub archive: F::Archive,
}

/// One test for every promise, for one factory.
macro_rules! contract {
    ($factory:ty: $($room:ident::$promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $crate::contract::$room::$promise::<$factory>();
            }
        )*
    };
    ($factory:ty) => {
        contract! { $factory:
            journal::appended_groups_are_replayed_in_order_also_after_a_crash
            journal::an_empty_group_and_an_empty_journal_are_nothing
            journal::a_group_of_many_records_is_replayed_whole_and_in_order
            journal::a_replay_visits_only_the_shards_it_is_asked_for
            journal::several_threads_replay_at_once
            journal::the_high_water_covers_what_was_trimmed_too
            journal::what_a_shard_needs_stays_until_every_shard_let_go_of_it
            journal::a_trim_beyond_the_end_leaves_what_comes_next
            journal::a_record_is_never_found_before_the_position_read_before_it_was_appended
            journal::a_replay_passes_on_what_the_visitor_refuses
            journal::every_kind_of_event_is_replayed_as_it_was
            journal::each_claim_is_under_a_greater_epoch_also_after_a_crash
            renewal::a_long_lived_message_among_many_others_lets_the_journal_go
            archive::an_archived_message_is_found_by_its_id_as_it_was
            archive::a_message_that_ended_before_its_id_says_it_began_is_found
            archive::a_batch_repeated_wholly_or_in_part_changes_nothing
            archive::a_list_has_every_message_once_in_archive_order_whatever_the_page
            archive::messages_of_one_moment_that_end_one_by_one_are_found_and_listed
            archive::a_page_and_a_read_are_the_same_again_after_batches_overlapped_and_were_repeated
            archive::what_one_read_delivered_is_found_together
        }
    };
}
pub(crate) use contract;
