//! All services as processes, on the real PostgreSQL and RabbitMQ.

mod contract;
mod dependencies;
mod faults;
mod path;
mod schema;
mod settings;
