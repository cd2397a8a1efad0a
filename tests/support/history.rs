//! What clients saw, and what must hold of it whatever happened to the server in between.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What a client knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// It was answered so.
    Done(T),
    /// It was sent, and its answer was cut.
    InDoubt,
}

/// A post of a text that no other post has. Ticks order the starts and ends of all requests.
#[derive(Clone, Debug)]
pub struct Posted {
    pub mailbox: String,
    pub text: String,
    pub started: u64,
    pub ended: u64,
    /// The id.
    pub seen: Seen<String>,
}

/// A read that was not refused.
#[derive(Clone, Debug)]
pub struct Read {
    pub mailbox: String,
    /// Ids and texts in the order they came.
    pub seen: Seen<Vec<(String, String)>>,
}

/// A message as looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub mailbox: String,
    pub text: String,
    /// When it was read, as told; `None` when it was not.
    pub read_at: Option<String>,
}

/// Everything that clients saw.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub posts: Vec<Posted>,
    pub reads: Vec<Read>,
    /// What look-ups told at the end, when every mailbox had been read empty.
    pub looked_up: HashMap<String, Option<Looked>>,
}

impl History {
    /// What is wrong with it: empty when every promise was kept. No message may expire in it.
    pub fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let delivered = self.deliveries(&mut wrong);
        self.check_look_ups(&delivered, &mut wrong);
        self.check_losses(&delivered, &mut wrong);
        self.check_ids(&mut wrong);
        wrong
    }

    /// The deliveries by id, after checking that each is of a post and the only one.
    fn deliveries(&self, wrong: &mut Vec<String>) -> HashMap<&str, &str> {
        let posts: HashMap<&str, &Posted> = self
            .posts
            .iter()
            .map(|post| (post.text.as_str(), post))
            .collect();
        let (mut by_id, mut texts) = (HashMap::new(), HashSet::new());
        for read in &self.reads {
            let Seen::Done(messages) = &read.seen else {
                continue;
            };
            if !messages.is_sorted_by(|one, next| one.0 < next.0) {
                wrong.push(format!("a read of {} is out of order", read.mailbox));
            }
            for (id, text) in messages {
                if by_id.insert(id.as_str(), text.as_str()).is_some() || !texts.insert(text) {
                    wrong.push(format!("{id} {text} was delivered twice"));
                }
                match posts.get(text.as_str()) {
                    None => wrong.push(format!("{id} {text} was never posted")),
                    Some(post) if post.mailbox != read.mailbox => {
                        wrong.push(format!("{id} {text} is of {}", post.mailbox));
                    }
                    Some(post) => {
                        if let Seen::Done(own) = &post.seen
                            && own != id
                        {
                            wrong.push(format!("{text} is {own} and was delivered as {id}"));
                        }
                    }
                }
            }
        }
        by_id
    }

    /// Every acknowledged message is found, as it was posted, and is read if it was delivered.
    fn check_look_ups(&self, delivered: &HashMap<&str, &str>, wrong: &mut Vec<String>) {
        for (post, id) in self.acknowledged() {
            match self.looked_up.get(id) {
                None => wrong.push(format!("{id} was not looked up")),
                Some(None) => wrong.push(format!("{id} {} cannot be found", post.text)),
                Some(Some(found)) => {
                    if (&found.mailbox, &found.text) != (&post.mailbox, &post.text) {
                        wrong.push(format!("{id} {} is found as {found:?}", post.text));
                    }
                    if delivered.contains_key(id.as_str()) && found.read_at.is_none() {
                        wrong.push(format!("{id} was delivered and is not read"));
                    }
                }
            }
        }
    }

    /// An acknowledged message that nobody got was taken by a read whose answer was cut: it says it
    /// was read, and no mailbox had more such reads than cut answers.
    fn check_losses(&self, delivered: &HashMap<&str, &str>, wrong: &mut Vec<String>) {
        let mut cut_reads: BTreeMap<&str, usize> = BTreeMap::new();
        for read in self.reads.iter().filter(|read| read.seen == Seen::InDoubt) {
            *cut_reads.entry(&read.mailbox).or_default() += 1;
        }
        let mut taken_at: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (post, id) in self.acknowledged() {
            if delivered.contains_key(id.as_str()) {
                continue;
            }
            match self.looked_up.get(id).and_then(Option::as_ref) {
                Some(Looked {
                    read_at: Some(at), ..
                }) => {
                    taken_at.entry(&post.mailbox).or_default().insert(at);
                }
                _ => wrong.push(format!("{id} {} is lost", post.text)),
            }
        }
        for (mailbox, times) in taken_at {
            let cut = cut_reads.get(mailbox).copied().unwrap_or_default();
            if times.len() > cut {
                let taken = times.len();
                wrong.push(format!(
                    "{mailbox}: messages of {taken} reads were never delivered, and {cut} answers were cut: lost"
                ));
            }
        }
    }

    /// No id twice, and of two posts to a mailbox, the one that was answered before the other was
    /// sent has the smaller id.
    fn check_ids(&self, wrong: &mut Vec<String>) {
        let mut by_mailbox: BTreeMap<&str, Vec<(&Posted, &String)>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (post, id) in self.acknowledged() {
            if !seen.insert(id) {
                wrong.push(format!("id {id} was given twice"));
            }
            by_mailbox
                .entry(&post.mailbox)
                .or_default()
                .push((post, id));
        }
        for posts in by_mailbox.values() {
            let mut by_start = posts.clone();
            by_start.sort_by_key(|(post, _)| post.started);
            let mut by_end = posts.clone();
            by_end.sort_by_key(|(post, _)| post.ended);
            let (mut ended, mut largest) = (by_end.iter().peekable(), None);
            for (post, id) in by_start {
                while let Some((_, before)) =
                    ended.next_if(|(before, _)| before.ended < post.started)
                {
                    largest = largest.max(Some(*before));
                }
                if largest.is_some_and(|largest| largest >= id) {
                    wrong.push(format!("{id} came after {largest:?} and is not greater"));
                }
            }
        }
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Posted, &String)> {
        self.posts.iter().filter_map(|post| match &post.seen {
            Seen::Done(id) => Some((post, id)),
            Seen::InDoubt => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four messages to one mailbox: two read, one read by a cut read, one in doubt.
    fn sound() -> History {
        let post = |number: u64, seen| Posted {
            mailbox: "m".into(),
            text: format!("t{number}"),
            started: number * 2,
            ended: number * 2 + 1,
            seen,
        };
        let done = |id: &str| Seen::Done(id.to_owned());
        let looked = |number: u64, at: &str| {
            let (mailbox, text) = ("m".into(), format!("t{number}"));
            let read_at = Some(at.into());
            Some(Looked {
                mailbox,
                text,
                read_at,
            })
        };
        let message = |id: &str, text: &str| (id.to_owned(), text.to_owned());
        let read = |seen| Read {
            mailbox: "m".into(),
            seen,
        };
        History {
            posts: vec![
                post(1, done("1")),
                post(2, done("2")),
                post(3, done("3")),
                post(4, Seen::InDoubt),
            ],
            reads: vec![
                read(Seen::Done(vec![message("1", "t1"), message("2", "t2")])),
                read(Seen::InDoubt),
            ],
            looked_up: HashMap::from([
                ("1".into(), looked(1, "a")),
                ("2".into(), looked(2, "a")),
                ("3".into(), looked(3, "b")),
            ]),
        }
    }

    #[track_caller]
    fn finds(history: &History, word: &str) {
        let violations = history.violations();
        assert!(
            violations.iter().any(|violation| violation.contains(word)),
            "no {word:?} in {violations:?}"
        );
    }

    #[test]
    fn a_sound_history_has_no_violations() {
        assert_eq!(sound().violations(), Vec::<String>::new());
    }

    #[test]
    fn a_post_in_doubt_may_be_delivered_once() {
        let mut history = sound();
        history.reads.push(Read {
            mailbox: "m".into(),
            seen: Seen::Done(vec![("4".into(), "t4".into())]),
        });
        assert_eq!(history.violations(), Vec::<String>::new());
        history.reads.push(history.reads[2].clone());
        finds(&history, "t4 was delivered twice");
    }

    #[test]
    fn a_lost_message_is_found() {
        let mut history = sound();
        history.looked_up.insert("3".into(), None);
        finds(&history, "3 t3 cannot be found");
        finds(&history, "3 t3 is lost");
        let mut history = sound();
        history.reads.remove(1);
        finds(&history, "0 answers were cut: lost");
        let mut history = sound();
        if let Seen::Done(messages) = &mut history.reads[0].seen {
            messages.pop();
        }
        finds(&history, "messages of 2 reads were never delivered");
        let mut history = sound();
        if let Some(Some(found)) = history.looked_up.get_mut("3") {
            found.read_at = None;
        }
        finds(&history, "3 t3 is lost");
    }

    #[test]
    fn a_double_delivery_is_found() {
        let mut history = sound();
        history.reads.push(history.reads[0].clone());
        finds(&history, "1 t1 was delivered twice");
        let mut history = sound();
        history.reads.push(Read {
            mailbox: "m".into(),
            seen: Seen::Done(vec![("9".into(), "t1".into())]),
        });
        finds(&history, "9 t1 was delivered twice");
        finds(&history, "t1 is 1 and was delivered as 9");
    }

    #[test]
    fn deliveries_of_nothing_to_others_and_out_of_order_are_found() {
        let mut history = sound();
        history.posts.remove(0);
        finds(&history, "1 t1 was never posted");
        let mut history = sound();
        history.reads[0].mailbox = "n".into();
        finds(&history, "1 t1 is of m");
        let mut history = sound();
        if let Seen::Done(messages) = &mut history.reads[0].seen {
            messages.reverse();
        }
        finds(&history, "out of order");
    }

    #[test]
    fn ids_that_repeat_or_go_back_are_found() {
        let mut history = sound();
        history.posts[2].seen = Seen::Done("2".into());
        finds(&history, "id 2 was given twice");
        finds(&history, "2 came after Some(\"2\") and is not greater");
        let mut history = sound();
        history.posts[0].started = 10;
        finds(&history, "1 came after Some(\"3\") and is not greater");
        history.posts[0].started = 2;
        history.posts[0].ended = 100;
        history.posts[0].seen = Seen::Done("5".into());
        let violations = history.violations();
        assert!(
            !violations.iter().any(|v| v.contains("not greater")),
            "overlapping posts have no order: {violations:?}"
        );
    }
}
