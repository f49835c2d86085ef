// One job: how far it is, its pages, its buttons.
import { $, openTab, put } from "./dom.js";
import { ask, fault, say, send } from "./server.js";
import { lote, windows } from "./state.js";

let show = "all", version = "", ended = false, followed = 0;
/** Numbers of the finished pages in the window, in order. */
let items = [];

export const isOver = () => ended;

/** The finished page so many places after another, undefined where there is none. */
export const neighbour = (item, by) => items[items.indexOf(item) + by];

/** Make a job the one of this tab, and go there. */
export function openJob(number, visit = true) {
  if (number !== lote.job) {
    show = "all";
    windows.rows = 0;
  }
  lote.job = number;
  version = "";
  ended = false;
  const url = new URL(location.href);
  url.searchParams.set("job", number);
  history.replaceState(null, "", url);
  if (visit) openTab("job");
  pollJob().catch(fault);
}

/** Show the job as it is now. */
export async function pollJob() {
  const number = lote.job;
  const query = new URLSearchParams({ show, from: windows.rows, v: version });
  const news = await ask(`job/${number}?${query}`);
  if (number !== lote.job) return;
  version = news.v;
  if (news.ended && followed === number) announce(news);
  followed = news.ended ? 0 : number;
  ended = news.ended;
  put(news.parts);
  title(news);
  $(".job").classList.toggle("live", !ended);
  if (news.parts.rows !== undefined) {
    const opening = document.querySelectorAll("[data-part=rows] [data-do=open]");
    items = [...opening].map((button) => Number(button.dataset.item));
  }
}

/** How far the job is, where other tabs are looked at. */
function title({ name, done, total }) {
  const far = ended ? "✓" : `${done} / ${total}`;
  document.title = total ? `${far} · ${name} · Lote` : "Lote";
}

/** Ask whether this page may tell when a job is done. */
export const askToTell = async () => { await globalThis.Notification?.requestPermission(); };

/** Tell that a job has ended; also where other windows are looked at, if a person has asked for it. */
function announce({ name, state, failed }) {
  const good = state === "done" && !failed;
  const template = good ? lote.words.finished : state === "cancelled" ? lote.words.cancelled : lote.words.failed;
  const text = template.replace("{name}", name);
  say(text, !good && state !== "cancelled");
  if (globalThis.Notification?.permission === "granted") new Notification("Lote", { body: text, tag: `lote-${lote.job}` });
}

/** The same whether or not anything has changed. */
export function showJob() {
  version = "";
  return pollJob();
}

/** Show only pages of one state. */
export function filterPages(state) {
  show = state;
  windows.rows = 0;
  return showJob();
}

export const wish = (what) => send(`job/${lote.job}/do`, what).then(showJob);
