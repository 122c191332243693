//! Whether this process can serve, kept in memory: a probe costs no query.
//!
//! It becomes ready when the database was reached and its schema is servable. A database that then goes away does
//! not change it: were every pod unready, callers would be refused connections instead of being waited for and,
//! after the request's deadline, told when to come back. A schema that this program cannot serve does.

use tokio::sync::watch;

/// What is known of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Never yet reached with a servable schema; what it is waiting for.
    Waiting(String),
    /// Reached with a servable schema of this version.
    Ready(i32),
    /// Reached with a schema that this program cannot serve; why.
    Unservable(String),
}

pub struct Readiness(watch::Sender<State>);

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(State::Waiting(
            "the database has not been asked yet".to_owned(),
        )))
    }
}

impl Readiness {
    /// The database was reached and can be served.
    pub fn servable(&self, version: i32) {
        self.change(State::Ready(version));
    }

    /// The database was reached and cannot be served.
    pub fn unservable(&self, reason: String) {
        self.change(State::Unservable(reason));
    }

    /// The database was not reached; matters only as long as it never was.
    pub fn unreachable(&self, reason: String) {
        if matches!(*self.0.borrow(), State::Waiting(_)) {
            self.change(State::Waiting(reason));
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.0.borrow().clone()
    }

    /// Waits until the database was reached once.
    pub async fn reached(&self) {
        let mut states = self.0.subscribe();
        let _ = states.wait_for(|state| !matches!(state, State::Waiting(_))).await;
    }

    fn change(&self, state: State) {
        self.0.send_if_modified(|current| {
            let differs = *current != state;
            if differs {
                *current = state;
            }
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_goes_away_does_not_make_a_ready_process_unready() {
        let readiness = Readiness::default();
        readiness.unreachable("refused".to_owned());
        assert_eq!(readiness.state(), State::Waiting("refused".to_owned()));
        readiness.servable(2);
        readiness.unreachable("refused".to_owned());
        assert_eq!(readiness.state(), State::Ready(2));
    }

    #[test]
    fn a_schema_that_cannot_be_served_makes_it_unready_until_it_can() {
        let readiness = Readiness::default();
        readiness.servable(2);
        readiness.unservable("too new".to_owned());
        assert_eq!(readiness.state(), State::Unservable("too new".to_owned()));
        readiness.servable(2);
        assert_eq!(readiness.state(), State::Ready(2));
    }
}
