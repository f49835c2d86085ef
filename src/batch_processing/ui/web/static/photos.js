// The photos tab.
import { put, wait } from "./dom.js";
import { ask, send } from "./server.js";
import { windows } from "./state.js";

let scanning = false;

export const isScanning = () => scanning;

export async function pollPhotos() {
  const news = await ask(`photos?from=${windows.photos}`);
  scanning = news.running;
  put(news.parts);
}

/** Begin a scan, or stop it. */
export async function scan(what) {
  await send("photos/do", what);
  scanning = true;
  await wait(700); // until it has a lock to be seen by
  await pollPhotos();
}
