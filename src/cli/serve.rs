//! `strowger serve`: runs the engine until it is told to stop (SIGTERM, SIGINT).

use std::error::Error;
use std::io::IsTerminal;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::log::OneLine;
use crate::config::Config;
use crate::engine::Engine;

/// Runs until a signal; a second signal stops without waiting for calls.
pub fn run(config: Config) -> Result<(), Box<dyn Error>> {
    start_logging(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let engine = Engine::start(config).await?;
        println!("{}", greeting(&engine));
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: no new calls; a second signal stops at once");
        tokio::select! {
            () = engine.stop() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Sends log lines to standard error, as the settings want them.
pub(super) fn start_logging(config: &Config) {
    // What the audio decoders say of a file is told to whoever plays it; their own lines know no call.
    let filter = tracing_subscriber::EnvFilter::new(format!("symphonia=off,{}", config.log));
    let colours = std::io::stderr().is_terminal();
    let lines = move || OneLine::new(std::io::stderr(), colours);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines).with_ansi(colours);
    if config.log_json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
}

fn greeting(engine: &Engine) -> String {
    let listeners = engine.listeners();
    let data = engine.data_dir();
    let data = data.display();
    let key = Path::new("access-key");
    format!(
        "Strowger {version} is running.\n\
         \n\
         REST API           http://{http}  https://{https}\n\
         SIP                {sip} (UDP and TCP){secure}\n\
         data directory     {data}\n\
         connection string  {data}/connection-string   (for the Azure SDKs)\n\
         access keys        {data}/{key}\n\
         certificate        {data}/ca.pem   (SDKs: REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS)\n\
         \n\
         Try a call: give it a rule, then dial sip:100@{sip} with any softphone.\n\
         \n\
         curl -X POST http://{http}/v1/rules -H \"Authorization: Bearer $(head -1 '{data}/{key}')\" \\\n\
         \x20 -H 'Content-Type: application/json' \\\n\
         \x20 -d '{{\"name\":\"welcome\",\"priority\":100,\"action\":{{\"answer\":{{\"play\":[\"prompt:welcome\"]}}}}}}'\n",
        version = env!("CARGO_PKG_VERSION"),
        http = listeners.http,
        https = listeners.https,
        sip = listeners.sip_udp,
        secure = listeners.sip(crate::sip::peer::Transport::Tls).map_or(String::new(), |tls| format!("  {tls} (TLS)")),
        key = key.display(),
    )
}
