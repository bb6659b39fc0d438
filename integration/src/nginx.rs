//! The real `nginx` as a provider's server, with its default limits, in front of the scripted
//! provider.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::directory::Directory;
use crate::logbook::LogBook;
use crate::nginx_binary;
use crate::process::{self, Place};
use crate::provider::Provider;

/// A running server. Dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Nginx {
    http1: Place,
    http2: Place,
    running: process::Running,
    log: LogBook,
    _directory: Directory,
}

impl Nginx {
    /// Starts one that hands every call on to `provider`.
    ///
    /// # Panics
    ///
    /// If `nginx` is not there, with the remedy, or does not start.
    pub async fn before(provider: &Provider) -> Nginx {
        let provider = provider.address();
        let of = |http1: SocketAddr, http2: SocketAddr| {
            format!(
                "server {{\n\
                   listen {http1};\n\
                   listen {http2} http2;\n\
                   location / {{ proxy_pass http://{provider}; }}\n\
                 }}\n"
            )
        };
        Nginx::serving(of).await
    }

    /// Starts one with what this gives for its `http` block, in one process, at two addresses.
    ///
    /// # Panics
    ///
    /// As [`Nginx::before`].
    pub async fn serving(of: impl FnOnce(SocketAddr, SocketAddr) -> String) -> Nginx {
        let binary = tokio::task::spawn_blocking(nginx_binary).await.expect("it does not panic");
        let binary = binary.unwrap_or_else(|why| panic!("{why}"));
        let [http1, http2] = [Place::reserve(), Place::reserve()];
        let directory = Directory::new().expect("a directory under target/");
        let file = directory.path().join("nginx.conf");
        // Everything that is not said is nginx's own default: limits above all.
        let config = format!(
            "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr info;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
               uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               {}\n\
             }}\n",
            of(http1.address, http2.address)
        );
        fs::write(&file, config).expect("a file under target/");
        let mut command = Command::new(binary);
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = process::start(command).expect("nginx can be started");
        let log = LogBook::of(child.stderr.take().expect("stderr is piped"));
        let nginx =
            Nginx { http1, http2, running: process::Running(child), log, _directory: directory };
        // It listens before it says what it runs on.
        nginx.log.wait_for("OS: ").await;
        nginx
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.0.id()
    }

    /// Where it speaks HTTP/1.1.
    #[must_use]
    pub fn http1(&self) -> SocketAddr {
        self.http1.address
    }

    /// Where it speaks HTTP/2, with prior knowledge.
    #[must_use]
    pub fn http2(&self) -> SocketAddr {
        self.http2.address
    }

    /// Its error log.
    #[must_use]
    pub fn log(&self) -> &LogBook {
        &self.log
    }
}
