//! SIPp with scenarios of our own (`tests/peers/sipp/*.xml`) against the engine.
