//! The whole system: one file a subject, every test in a world of its own.

mod addressing;
mod bad_endpoints;
mod bad_names;
mod bad_networks;
mod bad_sandboxes;
mod command_line;
mod dry_run;
mod endpoints;
mod events;
mod failures;
mod files;
mod idempotency;
mod isolation;
mod links;
mod lists;
mod name_clients;
mod names;
mod names_outside;
mod networks;
mod policies;
mod policies_api;
mod ports;
mod ports_live;
mod reflection;
mod restart;
mod sandboxes;
