//! Rollouts that drain nodes, on a real API server: the scheduler and the controllers are real too, nodes and pods are KWOK's. What
//! is promised is judged by the API server's audit log.

mod blocked;
mod chaos;
mod dry_run;
mod fixtures;
mod oracle;
mod people;
mod pools;
mod requests;
mod scene;
mod whole;
