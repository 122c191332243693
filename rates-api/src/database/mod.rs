//! Where the database is, how a connection to it is made, and whether its schema is one that this program serves.

mod address;
mod connect;
mod connections;
mod exclusive;
mod fault;
mod schema;

pub use address::{Address, AddressError, DatabaseArguments, ReadArguments};
pub use connect::{ConnectError, Driver, Session, connect};
pub use connections::{Connection, ConnectionError, Connections};
pub use exclusive::{Exclusive, ExclusiveError};
pub use fault::is_lost;
pub use schema::{Schema, SchemaError, Server};
