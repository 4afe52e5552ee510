//! Legs of a lane that talk with each other: who with whom, from when to when. What crosses is `stream::bridge`'s.

use super::{Lane, Leg, Moment};
use crate::media::MediaEvent;
use crate::session::LegId;

impl Lane {
    /// Lets two legs talk, or ends it. Who talked with either does no more.
    pub(super) fn bridge(&mut self, id: LegId, with: Option<LegId>) {
        let Some(&place) = self.places.get(&id) else { return };
        let other = with.and_then(|with| self.places.get(&with).copied()).filter(|other| *other != place);
        if other.is_some() && self.leg(place).is_some_and(|leg| leg.bridged == other) {
            return;
        }
        self.part(place);
        let Some(with) = with else { return };
        let Some(other) = other else {
            self.note(id, format!("{with} is not open: they are not bridged"));
            return;
        };
        self.part(other);
        for (place, other, with) in [(place, other, with), (other, place, id)] {
            if let Some(leg) = self.leg(place) {
                leg.stream.bridge();
                leg.bridged = Some(other);
                let id = leg.id;
                self.note(id, format!("bridged with {with}"));
            }
        }
        self.prepare_bridge(place);
    }

    /// Ends the bridge of the leg at this place, if it has one.
    pub(super) fn part(&mut self, place: usize) {
        let Some(leg) = self.leg(place) else { return };
        let (id, Some(other)) = (leg.id, leg.bridged.take()) else { return };
        leg.stream.unbridge();
        if let Some(leg) = self.leg(other).filter(|leg| leg.bridged == Some(place)) {
            leg.bridged = None;
            leg.stream.unbridge();
            let with = leg.id;
            self.note(with, format!("no longer bridged with {id}"));
        }
    }

    /// Makes what both legs of a bridge need, before they need it.
    pub(super) fn prepare_bridge(&mut self, place: usize) {
        if let Some((leg, other)) = pair(&mut self.legs, place) {
            leg.stream.prepare_for(&other.stream);
            other.stream.prepare_for(&leg.stream);
        }
    }

    fn note(&self, leg: LegId, text: String) {
        self.tell(MediaEvent::Note { leg, text });
    }
}

/// Before the leg's tick: it takes what the other one has heard.
pub(super) fn cross(legs: &mut [Option<Box<Leg>>], place: usize, at: Moment) {
    if let Some((leg, other)) = pair(legs, place)
        && leg.due.is_some_and(|due| at.grid >= due)
    {
        leg.stream.take_from(&mut other.stream);
    }
}

/// A leg and the one that it is bridged with.
fn pair(legs: &mut [Option<Box<Leg>>], place: usize) -> Option<(&mut Leg, &mut Leg)> {
    let other = legs.get(place)?.as_ref()?.bridged?;
    match legs.get_disjoint_mut([place, other]) {
        Ok([Some(leg), Some(other)]) => Some((leg, other)),
        _ => None,
    }
}
