// Talking to the server, and saying what comes of it.
import { $ } from "./dom.js";
import { lote } from "./state.js";

/** What the server answers to a question below /lote/. An Error with its sentence if it refuses. */
export async function ask(path, options) {
  const reply = await fetch("/lote/" + path, options);
  const kind = reply.headers.get("content-type") || "";
  const body = kind.includes("json") ? await reply.json() : {};
  if (!reply.ok) throw new Error(body.error || reply.statusText || String(reply.status));
  return body;
}

/** What it answers to a wish. */
export function send(path, wish) {
  const headers = { "X-Lote": "1", "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(wish) });
}

/** The sentence for a server that is gone. */
export const lost = () => lote.words.lost || "The server does not answer.";

let timer = 0;

/** Show a sentence for some seconds; "" takes it away. */
export function say(text, bad) {
  const place = $("#lote-said");
  if (!place) return;
  place.textContent = text;
  place.className = bad ? "toast bad" : "toast";
  place.hidden = !text;
  clearTimeout(timer);
  if (text) timer = setTimeout(() => say(""), bad ? 9000 : 4000);
}

export const fault = (error) => say(error.message, true);
