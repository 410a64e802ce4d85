//! The SDK from outside.

mod addresses;
mod catching_up;
mod connecting;
mod counting;
mod crashing;
mod day;
mod fault_proxy;
mod files;
mod full_disk;
mod identity;
mod networks;
mod people;
mod phone;
mod sending;
mod stories;
mod story;
mod tls;
mod wire;
mod world;
