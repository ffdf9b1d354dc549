//! Who watches all connections at once, and who is about to wait for one of them.
//!
//! The threads of the pool take turns as leaders: a leader waits for events and does itself what needs no waiting, without
//! waking anybody. Before it waits for something else it steps down, and another one leads. Whatever waits says so here,
//! however deep it is called, so that no call has to know for whom it works. Must not know what is waited for.

use std::cell::RefCell;

/// What a leader does when it steps down.
type Handover = Box<dyn FnOnce()>;

thread_local! {
    static HANDOVER: RefCell<Option<Handover>> = const { RefCell::new(None) };
}

/// This thread leads until it steps down, and then `hands_over`.
pub fn lead(hands_over: impl FnOnce() + 'static) {
    HANDOVER.with_borrow_mut(|handover| *handover = Some(Box::new(hands_over)));
}

/// Whether this thread leads.
pub fn leads() -> bool {
    HANDOVER.with_borrow(Option::is_some)
}

/// To be called before anything that waits, or that takes milliseconds. Nothing on a thread that does not lead.
pub fn step_down() {
    let handover = HANDOVER.with_borrow_mut(Option::take);
    if let Some(hands_over) = handover {
        hands_over();
    }
}

/// Leads no longer, where others do.
pub fn stand_back() {
    HANDOVER.with_borrow_mut(|handover| *handover = None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn who_leads_hands_over_once_and_by_itself_alone() {
        let handed_over = Rc::new(Cell::new(0));
        let count = Rc::clone(&handed_over);
        step_down();
        lead(move || count.set(count.get() + 1));
        assert!(leads());
        assert!(!std::thread::spawn(leads).join().unwrap_or(true));
        step_down();
        step_down();
        assert!(!leads());
        assert_eq!(handed_over.get(), 1);
        let count = Rc::clone(&handed_over);
        lead(move || count.set(count.get() + 1));
        stand_back();
        assert!(!leads());
        assert_eq!(handed_over.get(), 1);
    }
}
