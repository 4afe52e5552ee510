// A telephone in a browser, as far as its signalling goes: JsSIP registers over WebSocket (RFC 7118), tells of what
// happens, a JSON line each, and refuses calls as busy. `browser.mjs URL SIP-ADDRESS PASSWORD`.
import { WebSocket } from "ws";
import JsSIP from "jssip";

const [url, uri, password] = process.argv.slice(2);
globalThis.WebSocket = WebSocket;
// It looks for WebRTC before it rings; audio is not what is tried here.
globalThis.window = { RTCPeerConnection: class {} };
const tell = (what) => console.log(JSON.stringify(what));
const phone = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(url)], uri, password, register_expires: 60 });
phone.on("connected", () => tell({ connected: url }));
phone.on("registered", () => tell({ registered: uri }));
phone.on("registrationFailed", ({ cause }) => tell({ failed: cause }));
phone.on("newRTCSession", ({ session, request, originator }) => {
  if (originator === "remote") {
    tell({ called: request.ruri.toString(), from: request.from.uri.toString() });
    session.on("failed", ({ cause }) => tell({ ended: cause }));
    session.terminate({ status_code: 486 });
  }
});
process.stdin.on("data", () => {
  phone.once("unregistered", () => tell({ unregistered: uri }));
  phone.unregister();
});
phone.start();
