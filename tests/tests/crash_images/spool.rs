//! The agent's spool.
