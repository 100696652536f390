//! A panic costs one item, not the task that handles it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::model::escape::escape_cut;

/// Most bytes shown of what a panic says.
const MOST_WORDS: usize = 300;

/// A panic that was caught, in its own words: neutralised and bounded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Caught(pub String);

/// Does `work`; what it has half done must be of no importance when it panics.
///
/// # Errors
/// [`Caught`] when it panicked.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(panic.as_ref()))
}

/// Does `work` as [`catch_panic`] does, across its waits.
///
/// # Errors
/// [`Caught`] when it panicked.
pub async fn guard_task<T>(work: impl Future<Output = T>) -> Result<T, Caught> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match catch_panic(|| work.as_mut().poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(caught) => Poll::Ready(Err(caught)),
    })
    .await
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> Caught {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Caught(escape_cut(text.unwrap_or("a panic without words").as_bytes(), MOST_WORDS))
}

/// Has every panic of this process told in one line of the log, neutralised and bounded, instead of raw on the standard error: its words may
/// hold the bytes of the item that led to it.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let Caught(words) = words(panic.payload());
        tracing::error!(%place, %words, "a fault in integrityd");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_words_made_harmless() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        let caught =
            catch_panic(|| -> u8 { std::panic::panic_any(format!("esc \x1b[2J {}", "x".repeat(1000))) }).unwrap_err();
        assert!(caught.0.starts_with(r"esc \x1b[2J xxx") && caught.0.len() < 400, "{caught}");
    }

    #[tokio::test]
    async fn a_panic_behind_a_wait_is_caught_as_well() {
        let work = async {
            tokio::task::yield_now().await;
            std::panic::panic_any("late");
        };
        assert_eq!(guard_task::<()>(work).await, Err(Caught("late".to_owned())));
        assert_eq!(guard_task(async { 7 }).await, Ok(7));
    }
}
