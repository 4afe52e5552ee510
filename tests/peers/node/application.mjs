// What the stories share: the SDK's client, a webhook that keeps events call by call, and phones at the far end.
//
// Requests are told on standard output as they leave; phones are worked over standard output and input. See sdk.rs.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";

import { CallAutomationClient, parseCallAutomationEvent } from "@azure/communication-call-automation";

// The longest that anything is waited for, in milliseconds.
const PATIENCE = 60_000;

// How alike a prompt and what a phone heard must be: 1 is the same, another prompt comes to 0.4 at the most, and a frame
// that slips on a busy machine costs up to 0.3.
export const HEARD = 0.6;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function tell(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

async function ask(wish) {
  tell(wish);
  const answer = JSON.parse((await lines.next()).value);
  assert.ok("ok" in answer, JSON.stringify(answer));
  return answer.ok;
}

// A phone at the far end. Each method is a word of far_end.rs.
export async function phone(name, kind = {}) {
  const address = await ask({ do: "start", phone: name, ...kind });
  const words = ["dial", "press", "hangUp", "called", "connected", "failed", "pressed", "over"];
  const methods = words.map((word) => [word, (details = {}) => ask({ do: word, phone: name, ...details })]);
  return { ...address, ...Object.fromEntries(methods) };
}

// Things that came, for whoever takes them.
class Queue {
  items = [];
  waiting = [];

  put(item) {
    const taker = this.waiting.shift();
    if (taker) taker(item);
    else this.items.push(item);
  }

  take(what) {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE);
      this.waiting.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}

// A client, its webhook, and what the webhook was told.
export class Application {
  connectionString = process.env.CONNECTION_STRING;
  incoming = new Queue();
  calls = new Map();

  static async start() {
    const app = new Application();
    const [, endpoint, key] = /^endpoint=(https:\/\/.*?)\/?;accesskey=(.*)$/.exec(app.connectionString);
    Object.assign(app, { endpoint, key, client: Application.clientWith(app.connectionString) });
    app.server = createServer((request, response) => app.serve(request, response));
    await new Promise((listening) => app.server.listen(0, "127.0.0.1", listening));
    app.url = `http://127.0.0.1:${app.server.address().port}`;
    app.callback = app.url + "/events";
    return app;
  }

  static clientWith(connectionString) {
    const told = {
      name: "told",
      async sendRequest(request, next) {
        const response = await next(request);
        tell({ request: `${request.method} ${decodeURIComponent(new URL(request.url).pathname)}` });
        return response;
      },
    };
    const options = { additionalPolicies: [{ policy: told, position: "perRetry" }] };
    return new CallAutomationClient(connectionString, options);
  }

  // An operator's request under /v1.
  async operator(method, path, document) {
    const headers = { Authorization: `Bearer ${this.key}`, "Content-Type": "application/json" };
    const body = document && JSON.stringify(document);
    const response = await fetch(`${this.endpoint}/v1/${path}`, { method, headers, body });
    const text = await response.text();
    assert.ok(response.ok, text);
    return text ? JSON.parse(text) : undefined;
  }

  eventsOf(call) {
    if (!this.calls.has(call)) this.calls.set(call, new Queue());
    return this.calls.get(call);
  }

  // The call's next event, as the SDK's own parser reads it; it must be of this kind.
  async expect(call, kind, { context, code, subCode, path = "/events" } = {}) {
    const came = await this.eventsOf(call).take(kind);
    const event = parseCallAutomationEvent(JSON.stringify([came.event]));
    const words = JSON.stringify(came.event);
    assert.equal(event.kind, kind, words);
    assert.equal(came.path, path, words);
    assert.equal(event.callConnectionId, call, words);
    assert.ok(event.serverCallId && event.correlationId, words);
    if (context !== undefined) assert.equal(event.operationContext, context, words);
    if (code !== undefined) assert.equal(event.resultInformation.code, code, words);
    if (subCode !== undefined) assert.equal(event.resultInformation.subCode, subCode, words);
    return event;
  }

  // The two events with which a call begins.
  async connected(call, context) {
    await this.expect(call, "CallConnected", { context, code: 200 });
    return this.expect(call, "ParticipantsUpdated");
  }

  // The end of a story: no event is left that it did not speak of.
  done() {
    for (const [call, events] of this.calls) assert.deepEqual(events.items, [], call);
    process.exit(0);
  }

  async serve(request, response) {
    if (request.method === "GET") return audio(request.url, response);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let reply = {};
    for (const event of JSON.parse(Buffer.concat(chunks))) {
      if (event.eventType === "Microsoft.EventGrid.SubscriptionValidationEvent") {
        reply = { validationResponse: event.data.validationCode };
      } else if (event.eventType === "Microsoft.Communication.IncomingCall") {
        this.incoming.put(event.data);
      } else {
        this.eventsOf(event.data.callConnectionId).put({ path: request.url, event });
      }
    }
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(reply));
  }
}

function audio(url, response) {
  const file = join(process.env.CHECKOUT, "tests/data/audio", basename(url));
  response.setHeader("Content-Type", "audio/wav");
  if (existsSync(file)) return response.end(readFileSync(file));
  response.statusCode = url === "/text.wav" ? 200 : 404;
  response.end("this is no audio");
}

// The operation must fail with this status, and an error that says something.
export async function refused(status, operation, code) {
  try {
    await operation();
  } catch (error) {
    assert.equal(error.name, "RestError", `${error.stack}`);
    assert.equal(error.statusCode, status, `${operation}: ${error.message}`);
    const body = JSON.parse(error.response.bodyAsText).error;
    assert.ok(body.code && body.message, error.response.bodyAsText);
    if (code !== undefined) assert.equal(body.code, code, error.response.bodyAsText);
    return error;
  }
  throw new Error(`${operation} was not refused with ${status}`);
}

export function file(url, more = {}) {
  return { kind: "fileSource", url, ...more };
}
