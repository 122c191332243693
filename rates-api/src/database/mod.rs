//! Where the database is, how a connection to it is made, whether its server is the primary, and whether its schema is one
//! that this program serves.

mod address;
mod connect;
mod connections;
mod exclusive;
mod fault;
mod schema;
mod timelines;

pub use address::{Address, AddressError, DatabaseArguments, ReadArguments};
pub use connect::{CancelledWaits, ConnectError, Driver, Session, connect};
pub use connections::{Connection, ConnectionError, Connections};
pub use exclusive::{Exclusive, ExclusiveError};
pub use fault::is_lost;
pub use schema::{Schema, SchemaError, Server};
pub use timelines::{Origin, Primary, Superseded, Timelines, timeline};
