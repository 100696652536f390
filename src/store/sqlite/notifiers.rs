//! The bells: rung after events are committed. A bell carries nothing, so losing it loses nothing.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::model::event::Channel;

/// One bell a channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelNotifiers {
    files: Arc<Notify>,
    logs: Arc<Notify>,
    life: Arc<Notify>,
}

impl ChannelNotifiers {
    /// The bell of `channel`.
    pub fn of(&self, channel: Channel) -> &Arc<Notify> {
        match channel {
            Channel::Files => &self.files,
            Channel::Logs => &self.logs,
            Channel::Life => &self.life,
        }
    }
}
