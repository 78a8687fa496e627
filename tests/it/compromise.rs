//! What whoever has the token of a component can do with it: what the component needs, and nothing else. Real tokens, and
//! the manifests of `deploy/` on a real API server, which is who refuses.

mod agent;
mod condition;
mod coordinator;
mod cordon;
mod eviction;
mod fence;
mod rollout;
mod scene;
