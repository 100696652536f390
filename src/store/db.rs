//! The way into the store for tasks: one short blocking job a request.
//!
//! A thread of its own for the database makes tokio's paused test clock run away, an endless blocking job makes it stand still; with
//! short jobs it is exact.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{recovery::encountered::Troubles, sqlite::connection::Store};

/// A shared store.
#[derive(Debug, Clone)]
pub struct Db {
    store: Arc<Mutex<Store>>,
    /// What whoever uses it has met when it failed.
    pub troubles: Troubles,
}

impl Db {
    /// Shares `store`.
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(Mutex::new(store)), troubles: Troubles::default() }
    }

    /// The store itself, for code that already runs in a blocking job.
    ///
    /// A panic elsewhere leaves the store usable: an unfinished transaction was rolled back when it was dropped.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `request` on the store in a blocking job.
    ///
    /// # Panics
    /// Passes on a panic of `request`.
    pub async fn call<T: Send + 'static>(&self, request: impl FnOnce(&mut Store) -> T + Send + 'static) -> T {
        let door = self.clone();
        run_blocking(move || request(&mut door.lock())).await
    }
}

/// Runs a short blocking job and waits for it; a panic in it goes on in the caller.
pub async fn run_blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down; nobody will poll this again.
            Err(_cancelled) => std::future::pending().await,
        },
    }
}
