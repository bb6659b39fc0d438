//! The real `nginx` as a provider's server, with its default limits, in front of the scripted
//! provider.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpSocket;

use crate::logbook::LogBook;
use crate::provider::{Provider, socket};
use crate::{nginx_binary, process, runtime, target_dir};

/// A running server. Dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct Nginx {
    http1: SocketAddr,
    http2: SocketAddr,
    child: Child,
    log: LogBook,
    directory: PathBuf,
    /// Keep the ports ours.
    _reserved: [TcpSocket; 2],
}

impl Nginx {
    /// Starts one that hands every call on to `provider`.
    ///
    /// # Panics
    ///
    /// If `nginx` is not there, with the remedy, or does not start.
    pub async fn before(provider: &Provider) -> Nginx {
        let binary = tokio::task::spawn_blocking(nginx_binary).await.expect("it does not panic");
        let binary = binary.unwrap_or_else(|why| panic!("{why}"));
        let reserved = {
            let _entered = runtime().enter();
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            [any, any].map(|any| socket(any).expect("a free port on loopback"))
        };
        let [http1, http2] =
            reserved.each_ref().map(|socket| socket.local_addr().expect("an address"));
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory =
            target_dir().join("rig").join(format!("nginx-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory under target/");
        let file = directory.join("nginx.conf");
        // Everything that is not said is nginx's own default: limits above all.
        let config = format!(
            "daemon off;\nmaster_process off;\npid pid;\nerror_log stderr info;\n\
             events {{}}\n\
             http {{\n\
               access_log off;\n\
               client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
               uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               server {{\n\
                 listen {http1};\n\
                 listen {http2} http2;\n\
                 location / {{ proxy_pass http://{}; }}\n\
               }}\n\
             }}\n",
            provider.address()
        );
        fs::write(&file, config).expect("a file under target/");
        let mut command = Command::new(binary);
        command.arg("-p").arg(&directory).arg("-c").arg(&file).args(["-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = process::start(command).expect("nginx can be started");
        let log = LogBook::of(child.stderr.take().expect("stderr is piped"));
        let nginx = Nginx { http1, http2, child, log, directory, _reserved: reserved };
        // It listens before it says what it runs on.
        nginx.log.wait_for("OS: ").await;
        nginx
    }

    /// Where it speaks HTTP/1.1.
    #[must_use]
    pub fn http1(&self) -> SocketAddr {
        self.http1
    }

    /// Where it speaks HTTP/2, to whoever begins so.
    #[must_use]
    pub fn http2(&self) -> SocketAddr {
        self.http2
    }

    /// Its error log.
    #[must_use]
    pub fn log(&self) -> &LogBook {
        &self.log
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
