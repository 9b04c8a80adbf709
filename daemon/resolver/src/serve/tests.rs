mod garbage;
mod gated;
mod names;
mod others;
mod world;
