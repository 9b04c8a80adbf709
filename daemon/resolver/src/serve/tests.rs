mod garbage;
mod names;
mod others;
mod world;
