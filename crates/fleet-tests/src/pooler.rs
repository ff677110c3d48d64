//! PgBouncer in transaction mode, before a PostgreSQL server of the test's own. The program is `pgbouncer`, as
//! [`service`](crate::service) finds it; so is the component that `FIELDSEAL_REQUIRE` may name.

use std::fs;

use sqlx::postgres::PgConnectOptions;

use crate::service::Service;

/// A running pooler. Dropping it kills it.
#[derive(Debug)]
pub struct Pooler(Service);

impl Pooler {
    /// Before the server of a database, with so many connections to it for all clients.
    pub fn start(database: &PgConnectOptions, connections: u32) -> Self {
        let (socket, port) = (database.get_socket().expect("a Unix socket").display().to_string(), database.get_port());
        Self(Service::start("pgbouncer", |command, listen_port, home| {
            let settings = format!(
                "[databases]\n* = host={socket} port={port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {listen_port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
                 default_pool_size = {connections}\nignore_startup_parameters = extra_float_digits,options\n"
            );
            let file = home.join("pgbouncer.ini");
            fs::write(&file, settings).expect("the pooler's settings");
            // It refuses to stay root.
            if fs::metadata(&file).is_ok_and(|file| std::os::unix::fs::MetadataExt::uid(&file) == 0) {
                command.args(["-u", "nobody"]);
            }
            command.arg(file);
        }))
    }

    /// The same database, through the pooler.
    pub fn options(&self, database: &PgConnectOptions) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.0.port)
            .username("postgres")
            .database(database.get_database().expect("a database"))
    }
}
