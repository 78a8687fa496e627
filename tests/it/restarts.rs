//! Rollouts under which agents restart services, on a real API server: a real systemd restarts them, and once a real kubelet is the
//! service. How often one was restarted is judged by systemd and by the service itself, how many at once by the ledger too.

mod conditions;
mod failures;
mod interrupted;
mod kubelet;
mod limits;
mod scene;
