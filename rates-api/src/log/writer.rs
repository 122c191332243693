//! Lines on their way to standard output: gathered in memory, and written by a thread of their own.
//!
//! A system call for each line costs a request more than its line is worth. The first line after a pause is written at
//! once, those that come meanwhile together a moment later. When the reader does not keep up, whoever logs waits:
//! no line is lost but those of the last moment before a crash.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long lines are gathered after others were written.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes that wait to be written, at most about.
const LIMIT: usize = 1 << 20;

/// How long the end of the process waits for a reader that takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes lines; cheap to clone.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// For the thread: there is something to write, or the end has come.
    filled: Condvar,
    /// For whoever logs: there is room again; and for the end: all is written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    gathered: Vec<u8>,
    /// The thread waits for the first line.
    idle: bool,
    /// No more lines will come.
    ended: bool,
    /// The thread has written all there was to write.
    done: bool,
}

/// Dropped, all lines have been written.
pub struct Writing(Lines);

/// Begins to write lines to `sink`. Without a thread for it, each is written as it comes.
pub fn start(sink: impl Write + Send + 'static) -> (Lines, Writing) {
    let lines = Lines(Arc::default());
    let shared = Arc::clone(&lines.0);
    let started = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || shared.write(sink));
    if started.is_err() {
        lines.0.lock().done = true;
    }
    (lines.clone(), Writing(lines))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: runs until the end has come and all is written.
    fn write(&self, mut sink: impl Write) {
        let mut writing = Vec::new();
        loop {
            let mut state = self.lock();
            while state.gathered.is_empty() && !state.ended {
                state.idle = true;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle = false;
            std::mem::swap(&mut state.gathered, &mut writing);
            state.done = writing.is_empty();
            self.emptied.notify_all();
            if state.done {
                return;
            }
            drop(state);
            // Nobody is there to be told that nobody reads.
            let _ = sink.write_all(&writing).and_then(|()| sink.flush());
            writing.clear();
            let state = self.lock();
            let _ = self.filled.wait_timeout_while(state, PAUSE, |state| {
                !state.ended && state.gathered.len() < LIMIT / 2
            });
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        while state.gathered.len() > LIMIT && !state.done {
            state = self.0.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.done {
            return io::stdout().write(line);
        }
        let before = state.gathered.len();
        state.gathered.extend_from_slice(line);
        let half = before < LIMIT / 2 && state.gathered.len() >= LIMIT / 2;
        if std::mem::take(&mut state.idle) || half {
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.ended = true;
        shared.filled.notify_one();
        let _ = shared
            .emptied
            .wait_timeout_while(state, PATIENCE, |state| !state.done);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes something only when it is told to.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_every_thread_is_there_at_the_end_whole_and_in_its_order() {
        let sink = Sink::default();
        let (lines, writing) = start(sink.clone());
        thread::scope(|scope| {
            for writer in 0..4 {
                let mut lines = lines.clone();
                scope.spawn(move || {
                    for number in 0..20_000 {
                        lines
                            .write_all(format!("{writer} {number:08} {}\n", "x".repeat(60)).as_bytes())
                            .unwrap();
                    }
                });
            }
        });
        drop(writing);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let mut next = [0; 4];
        for line in text.lines() {
            let (writer, rest) = line.split_once(' ').unwrap();
            let expected = &mut next[writer.parse::<usize>().unwrap()];
            assert_eq!(rest, format!("{expected:08} {}", "x".repeat(60)));
            *expected += 1;
        }
        assert_eq!(next, [20_000; 4]);
    }

    #[test]
    fn a_line_after_a_pause_is_written_without_further_ones() {
        let sink = Sink::default();
        let (mut lines, _writing) = start(sink.clone());
        for count in 1..=3 {
            lines.write_all(b"line\n").unwrap();
            let started = Instant::now();
            while sink.0.lock().unwrap().len() < 5 * count {
                assert!(started.elapsed() < Duration::from_secs(10), "it is not written");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn memory_is_bounded_when_nobody_reads_and_the_end_does_not_wait_for_ever() {
        let (release, released) = mpsc::channel();
        let (mut lines, writing) = start(Stuck(released));
        let logging = thread::spawn(move || {
            for _ in 0..5 {
                lines.write_all(&vec![b'x'; LIMIT]).unwrap();
            }
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!logging.is_finished());
        let started = Instant::now();
        let shared = Arc::clone(&writing.0.0);
        drop(writing);
        assert!(started.elapsed() < 2 * PATIENCE);
        assert!(shared.lock().gathered.len() <= 2 * LIMIT + 1);
        for _ in 0..6 {
            let _ = release.send(());
        }
        logging.join().unwrap();
    }
}
