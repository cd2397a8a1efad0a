//! Ways around: the members that this node does not reach itself, and who may pass a call on to each.
//!
//! A hint, as `routing` is: whichever ways a call takes, it is done once, by its id.

use cluster::member::Generation;
use tokio::sync::watch;

use super::routing::Remote;

/// One way around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    /// Who is not reached.
    pub to: Generation,
    /// Who is asked to pass calls on.
    pub by: Remote,
}

/// What the node's thread found, for all workers.
#[derive(Debug, Default)]
pub struct Detours {
    known: watch::Sender<Vec<Detour>>,
}

impl Detours {
    /// These are all from now on.
    pub fn learn(&self, detours: Vec<Detour>) {
        self.known.send_if_modified(|known| {
            let is_news = *known != detours;
            *known = detours;
            is_news
        });
    }

    /// Who passes calls on to a member, if this node does not reach it and somebody else may.
    pub fn around(&self, to: &Remote) -> Option<Remote> {
        by(&self.known.borrow(), to)
    }

    /// Waits until there is a way around to a member.
    pub async fn opened(&self, to: &Remote) {
        let mut known = self.known.subscribe();
        // Its sender is this very value.
        let _ = known.wait_for(|known| by(known, to).is_some()).await;
    }
}

fn by(known: &[Detour], to: &Remote) -> Option<Remote> {
    let detour = known.iter().find(|detour| detour.to == to.generation)?;
    Some(detour.by.clone())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    fn remote(number: u128) -> Remote {
        Remote {
            generation: Generation(Uuid::from_u128(number)),
            address: format!("127.0.0.1:{number}"),
        }
    }

    #[test]
    fn there_is_a_way_around_to_whom_is_not_reached_for_as_long_as_that_is_so() {
        let detours = Detours::default();
        let (to, by) = (remote(1), remote(2));
        assert_eq!(detours.around(&to), None);
        assert_eq!(detours.opened(&to).now_or_never(), None);
        let detour = Detour {
            to: to.generation,
            by: by.clone(),
        };
        detours.learn(vec![detour]);
        assert_eq!(detours.around(&to), Some(by.clone()));
        assert_eq!(detours.opened(&to).now_or_never(), Some(()));
        assert_eq!(detours.around(&by), None);
        detours.learn(Vec::new());
        assert_eq!(detours.around(&to), None);
    }
}
