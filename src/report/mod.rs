//! What is told, to whom and when: stored events become text, text becomes mail.
