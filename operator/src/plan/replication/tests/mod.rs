//! The decisions of this folder on databases of one to three instances. Beside and not within its files, as each test goes
//! through all of them.

mod acts;
mod killed;
mod leader_key;
mod rolls;
mod scaling;
mod stage;
