//! Prints the timelines of all calls as they grow.

use std::collections::HashMap;
use std::time::Duration;

use super::application::Application;

/// How often the engine is asked.
const EVERY: Duration = Duration::from_millis(200);

/// Stops the printing when dropped.
pub struct Printer(tokio::task::JoinHandle<()>);

impl Drop for Printer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts printing.
pub fn print(application: &Application) -> Printer {
    let looker = application.looker();
    Printer(tokio::spawn(async move {
        let mut printed: HashMap<String, usize> = HashMap::new();
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let Ok(calls) = looker.look("/v1/calls").await else { continue };
            for call in calls["value"].as_array().into_iter().flatten() {
                let id = call["id"].as_str().unwrap_or_default();
                let Ok(timeline) = looker.look(&format!("/v1/calls/{id}/timeline")).await else { continue };
                let entries = timeline["entries"].as_array().cloned().unwrap_or_default();
                let seen = printed.entry(id.to_owned()).or_default();
                for entry in entries.iter().skip(*seen) {
                    let word = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                    let (at, kind, text) = (word("at"), word("kind"), word("text"));
                    let clock = at.get(11..23).unwrap_or(&at).to_owned();
                    println!("    {clock} {:.4} {kind:<9} {text}", id);
                }
                *seen = entries.len();
            }
        }
    }))
}
