//! The command line of `explain`.

use crate::output::Format;

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 explained, whatever becomes of the request; 2 wrong usage, or a configuration that
cannot be read or does not load.")]
pub struct Args {
    /// Configuration of the filter, or of Envoy, Istio or Envoy Gateway with the filter in it; `-`
    /// is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) config: String,
    /// Which instance of the filter, if the file has several
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Option<String>,
    /// The region code, in the header that the configuration names
    #[arg(long, value_name = "CODE")]
    pub(super) region: Option<String>,
    /// The request's bearer token; without it a made-up one is used
    #[arg(long, value_name = "TOKEN", conflicts_with = "no_token")]
    pub(super) token: Option<String>,
    /// The request has no token
    #[arg(long)]
    pub(super) no_token: bool,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(super) method: String,
    /// The request's path, with its query
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(super) path: String,
    /// The host that the client calls
    #[arg(long, value_name = "HOST", default_value = "gateway.example")]
    pub(super) authority: String,
    /// A further header of the request
    #[arg(long, value_name = "NAME: VALUE")]
    pub(super) header: Vec<String>,
    /// The provider's answer: a file with its body
    #[arg(long, value_name = "FILE", conflicts_with = "no_answer")]
    pub(super) userinfo: Option<String>,
    /// The status of the provider's answer; 200 if there is a body
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=599),
          conflicts_with = "no_answer")]
    pub(super) status: Option<u16>,
    /// A header of the provider's answer
    #[arg(long, value_name = "NAME: VALUE", conflicts_with = "no_answer")]
    pub(super) answer_header: Vec<String>,
    /// The provider cannot be reached
    #[arg(long)]
    pub(super) no_answer: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}
