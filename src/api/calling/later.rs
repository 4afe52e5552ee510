//! What the ACS SDKs can ask and this release does not do: each answers 501 with an error body, never 200 or 404.

use axum::http::Method;

use crate::api::endpoint::Endpoint;

/// Method, path, and what it would do.
const LATER: &[(Method, &str, &str)] = &[
    (Method::POST, "/calling/callConnections:connect", "Connect to a call"),
    (Method::POST, "/calling/callConnections/{callConnectionId}/participants:add", "Add a participant"),
    (Method::POST, "/calling/callConnections/{callConnectionId}/participants:remove", "Remove a participant"),
    (Method::POST, "/calling/callConnections/{callConnectionId}/participants:mute", "Mute participants"),
    (
        Method::POST,
        "/calling/callConnections/{callConnectionId}/participants:cancelAddParticipant",
        "Cancel adding a participant",
    ),
    (Method::POST, "/calling/callConnections/{callConnectionId}/participants:moveHere", "Move participants here"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:hold", "Hold a participant"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:unhold", "Unhold a participant"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:startMediaStreaming", "Start media streaming"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:stopMediaStreaming", "Stop media streaming"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:startTranscription", "Start transcription"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:stopTranscription", "Stop transcription"),
    (Method::POST, "/calling/callConnections/{callConnectionId}:updateTranscription", "Update transcription"),
    (Method::POST, "/calling/recordings", "Start a recording"),
    (Method::GET, "/calling/recordings/{recordingId}", "A recording's state"),
    (Method::DELETE, "/calling/recordings/{recordingId}", "Stop a recording"),
    (Method::POST, "/calling/recordings/{recordingId}:pause", "Pause a recording"),
    (Method::POST, "/calling/recordings/{recordingId}:resume", "Resume a recording"),
    (Method::GET, "/v1/objects/{documentId}/content/{content}", "Download a recording"),
    (Method::DELETE, "/v1/objects/{documentId}", "Delete a recording"),
    (Method::POST, "/identities", "Create a user"),
    (Method::DELETE, "/identities/{+id}", "Delete a user"),
    (Method::POST, "/identities/{+id}/:issueAccessToken", "Issue a user's access token"),
    (Method::POST, "/identities/{+id}/:revokeAccessTokens", "Revoke a user's access tokens"),
    (Method::POST, "/teamsUser/:exchangeAccessToken", "Exchange a Teams user's access token"),
    (Method::POST, "/rooms", "Create a room"),
    (Method::GET, "/rooms", "List rooms"),
    (Method::GET, "/rooms/{roomId}", "A room"),
    (Method::PATCH, "/rooms/{roomId}", "Update a room"),
    (Method::DELETE, "/rooms/{roomId}", "Delete a room"),
    (Method::GET, "/rooms/{roomId}/participants", "A room's participants"),
    (Method::PATCH, "/rooms/{roomId}/participants", "Update a room's participants"),
    (Method::GET, "/phoneNumbers", "List phone numbers"),
    (Method::GET, "/phoneNumbers/{+phoneNumber}", "A phone number"),
];

pub(super) fn endpoints() -> impl Iterator<Item = Endpoint> {
    LATER.iter().map(|(method, path, summary)| Endpoint::later(method.clone(), path, summary))
}
