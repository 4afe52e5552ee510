//! Outbound routes: which trunks a number goes by, in which order, written how, and who may call that way.
//!
//! The first route that fits decides: by `order`, then the longer prefix, then the name. Without any route all numbers go
//! by the trunks themselves (their `prefix` and `priority`), for applications and users; a stranger or another trunk
//! never reaches a number that no route opens for him.

use regex::Regex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::document::Trunk;
use super::number::whole;

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`; unique.
    #[schema(example = "uk")]
    pub name: String,
    /// Numbers (`+44…`) that begin with this; all where neither this nor `regex` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+44")]
    pub prefix: Option<String>,
    /// Numbers that this regular expression matches as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Lower is looked at first; default 100.
    #[serde(default = "hundred")]
    pub order: i32,
    /// Tried in this order; 1 to 16.
    pub trunks: Vec<By>,
    /// Who may call by it. Default: applications and users.
    #[serde(default)]
    pub allow: Allow,
}

fn hundred() -> i32 {
    100
}

/// A trunk of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct By {
    /// The trunk.
    pub name: String,
    /// Characters taken off the number's beginning, its `+` included; default 0.
    #[serde(default)]
    pub strip: u32,
    /// Put before what is left.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub add: String,
}

/// Who may call by a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Allow {
    /// Whoever has an access key. Default true.
    pub applications: bool,
    /// Registered users; default true.
    pub users: bool,
    /// Calls that came in by a trunk, forwarded or redirected: default false.
    pub trunks: bool,
    /// Whoever proved nothing: default false, and toll fraud where it is true.
    pub strangers: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Allow { applications: true, users: true, trunks: false, strangers: false }
    }
}

/// Who wants to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "name")]
pub enum Asker {
    /// An application with an access key.
    Application,
    /// A user of ours.
    User(String),
    /// Somebody behind this trunk.
    Trunk(String),
    /// Somebody who proved nothing.
    Stranger,
}

impl Asker {
    /// From `application`, `user`, `user:bob`, `trunk:carrier-a`, `stranger`.
    pub fn parse(text: &str) -> Option<Asker> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        Some(match kind {
            "application" => Asker::Application,
            "user" => Asker::User(name.to_owned()),
            "trunk" => Asker::Trunk(name.to_owned()),
            "stranger" => Asker::Stranger,
            _ => return None,
        })
    }

    fn in_words(&self) -> &'static str {
        match self {
            Asker::Application => "applications",
            Asker::User(_) => "users",
            Asker::Trunk(_) => "calls that came in by trunks",
            Asker::Stranger => "strangers",
        }
    }
}

impl Allow {
    fn allows(&self, asker: &Asker) -> bool {
        match asker {
            Asker::Application => self.applications,
            Asker::User(_) => self.users,
            Asker::Trunk(_) => self.trunks,
            Asker::Stranger => self.strangers,
        }
    }
}

/// One trunk to try, with the number as it is handed to it (the trunk's own number plan comes after that).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// The trunk.
    pub trunk: String,
    /// The number.
    pub number: String,
}

/// Where a number goes, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteDecision {
    /// The number that was asked for.
    pub number: String,
    /// The route that decided; none: no route fits, or there are none.
    pub route: Option<String>,
    /// Trunks to try, in order; empty: the number cannot be called.
    pub ways: Vec<Way>,
    /// Why the number cannot be called.
    pub problem: Option<String>,
    /// The routes that were looked at, and what became of each.
    pub explanation: Vec<String>,
}

/// All routes, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// In the order in which they are looked at.
    all: Vec<(Route, Option<Regex>)>,
}

impl Routes {
    /// Of what operators wrote. An expression that cannot be used fits nothing: `check` has refused it before.
    pub fn new(mut routes: Vec<Route>) -> Self {
        let length = |route: &Route| route.prefix.as_ref().map_or(0, String::len);
        routes.sort_by(|a, b| a.order.cmp(&b.order).then(length(b).cmp(&length(a))).then_with(|| a.name.cmp(&b.name)));
        let all = routes.into_iter().map(|route| {
            let regex = route.regex.as_deref().and_then(|pattern| whole(pattern).ok());
            (route, regex)
        });
        Routes { all: all.collect() }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Does a route name this trunk? Its name, if one does.
    pub fn using(&self, trunk: &str) -> Option<&str> {
        self.all.iter().find(|(r, _)| r.trunks.iter().any(|by| by.name == trunk)).map(|(r, _)| r.name.as_str())
    }

    /// Where `number` goes. `trunks` are those there are, in the order of their priority.
    pub fn decide(&self, number: &str, asker: &Asker, trunks: &[&Trunk]) -> RouteDecision {
        let mut decision = RouteDecision { number: number.to_owned(), ..RouteDecision::default() };
        let known = |name: &str| trunks.iter().any(|trunk| trunk.name == name);
        let mut denied = None;
        for (route, regex) in &self.all {
            let name = &route.name;
            let mut say = |what: String| decision.explanation.push(format!("route {name}: {what}"));
            match (&route.prefix, regex, &route.regex) {
                (Some(prefix), _, _) if !number.starts_with(prefix.as_str()) => {
                    say(format!("{number} does not begin with {prefix}"));
                    continue;
                }
                (_, Some(regex), Some(pattern)) if !regex.is_match(number) => {
                    say(format!("{number} is not {pattern}"));
                    continue;
                }
                (_, None, Some(pattern)) => {
                    say(format!("{pattern} cannot be used"));
                    continue;
                }
                _ => {}
            }
            if !route.allow.allows(asker) {
                say(format!("fits, but is closed to {}", asker.in_words()));
                denied.get_or_insert(name.clone());
                continue;
            }
            let mut ways = Vec::new();
            for by in &route.trunks {
                let rest: String = number.chars().skip(by.strip as usize).collect();
                let number = format!("{}{rest}", by.add);
                if !known(&by.name) {
                    say(format!("there is no trunk {}", by.name));
                } else if number.is_empty() || number == "+" {
                    say(format!("nothing is left of the number for trunk {}", by.name));
                } else {
                    ways.push(Way { trunk: by.name.clone(), number });
                }
            }
            if ways.is_empty() {
                continue;
            }
            let names: Vec<&str> = ways.iter().map(|way| way.trunk.as_str()).collect();
            say(format!("decides: trunks {}", names.join(", ")));
            decision.route = Some(name.clone());
            decision.ways = ways;
            return decision;
        }
        if self.all.is_empty() && matches!(asker, Asker::Application | Asker::User(_)) {
            let takers = trunks.iter().filter(|trunk| trunk.takes(number));
            decision.ways = takers.map(|t| Way { trunk: t.name.clone(), number: number.to_owned() }).collect();
            decision.explanation.push("there are no routes: the trunks' own prefixes decide".to_owned());
        }
        if decision.ways.is_empty() {
            decision.problem = Some(match (denied, self.all.is_empty()) {
                (Some(route), _) => {
                    format!("{number} may not be called by {}: route {route} is closed to them", asker.in_words())
                }
                (None, false) => format!("no route takes {number}: add one under /v1/routes"),
                (None, true) if matches!(asker, Asker::Trunk(_) | Asker::Stranger) => format!(
                    "{number} may not be called by {}: no route under /v1/routes opens it to them",
                    asker.in_words()
                ),
                (None, true) => {
                    format!("no trunk takes {number}: add one under /v1/trunks, with a prefix that fits or none")
                }
            });
        }
        decision
    }
}

pub use super::check::check_route;

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(name: &str, prefix: Option<&str>) -> Trunk {
        Trunk { name: name.into(), uri: Some("sip:x".into()), prefix: prefix.map(Into::into), ..Trunk::default() }
    }

    fn route(text: &str) -> Route {
        serde_json::from_str(text).unwrap()
    }

    fn ways(decision: &RouteDecision) -> Vec<(&str, &str)> {
        decision.ways.iter().map(|w| (w.trunk.as_str(), w.number.as_str())).collect()
    }

    #[test]
    fn the_first_that_fits_decides_and_says_why() {
        let (a, b) = (trunk("a", None), trunk("b", None));
        let trunks = [&a, &b];
        let routes = Routes::new(vec![
            route(r#"{"name":"all","trunks":[{"name":"b"}]}"#),
            route(
                r#"{"name":"uk","prefix":"+44","trunks":[{"name":"a","strip":3,"add":"0"},{"name":"b"},{"name":"gone"}]}"#,
            ),
            route(r#"{"name":"mobile","regex":"\\+447\\d{9}","order":50,"trunks":[{"name":"b","add":"9"}]}"#),
        ]);
        let london = routes.decide("+442079460000", &Asker::Application, &trunks);
        assert_eq!(london.route.as_deref(), Some("uk"));
        assert_eq!(ways(&london), [("a", "02079460000"), ("b", "+442079460000")]);
        assert_eq!(london.explanation.len(), 3, "{:?}", london.explanation);
        let mobile = routes.decide("+447700900123", &Asker::User("bob".into()), &trunks);
        assert_eq!(ways(&mobile), [("b", "9+447700900123")]);
        assert_eq!(routes.decide("+33", &Asker::Application, &trunks).route.as_deref(), Some("all"));
        assert_eq!(routes.using("a"), Some("uk"));
    }

    #[test]
    fn strangers_and_trunks_reach_no_number_unless_a_route_is_open_to_them() {
        let a = trunk("a", None);
        for asker in [Asker::Stranger, Asker::Trunk("x".into())] {
            let none = Routes::default().decide("+44", &asker, &[&a]);
            assert!(none.ways.is_empty() && none.problem.is_some());
            let closed = Routes::new(vec![route(r#"{"name":"r","trunks":[{"name":"a"}]}"#)]);
            let decision = closed.decide("+44", &asker, &[&a]);
            assert!(decision.ways.is_empty() && decision.problem.unwrap().contains("route r is closed"));
            let open = Routes::new(vec![route(
                r#"{"name":"r","trunks":[{"name":"a"}],"allow":{"trunks":true,"strangers":true}}"#,
            )]);
            assert_eq!(open.decide("+44", &asker, &[&a]).ways.len(), 1);
        }
    }

    #[test]
    fn without_routes_the_trunks_decide() {
        let (a, b) = (trunk("a", Some("+44")), trunk("b", None));
        let decision = Routes::default().decide("+4420", &Asker::Application, &[&a, &b]);
        assert_eq!(ways(&decision), [("a", "+4420"), ("b", "+4420")]);
        assert!(
            Routes::default().decide("+33", &Asker::Application, &[&a]).problem.unwrap().contains("no trunk takes +33")
        );
    }
}
