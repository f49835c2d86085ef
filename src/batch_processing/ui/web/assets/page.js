// What Gradio's components do not do: fills the places marked data-part with what the server says, turns
// buttons marked data-do into requests, and draws. No state but two names: this tab's draft and its job.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const uuid = () => {
    const b = crypto.getRandomValues(new Uint8Array(16));
    b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128;
    const h = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
    return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join("-");
  };
  const lote = {
    draft: sessionStorage.getItem("lote-draft") || uuid(),
    job: Number(new URL(location.href).searchParams.get("job")) || 0,
    trial: "",
    words: {},
  };
  window.lote = lote;
  sessionStorage.setItem("lote-draft", lote.draft);
  const windows = { page: 0, reference: 0, rows: 0, photos: 0 };
  let show = "all", draftVersion = "", jobVersion = "", previewJob = 0, ended = false, openItem = 0;

  // -- talking to the server ---------------------------------------------------------------------------
  const last = new Map();
  function put(parts) {
    for (const [name, html] of Object.entries(parts || {})) {
      for (const place of document.querySelectorAll(`[data-part="${name}"]`)) {
        if (last.get(place) === html) continue;
        const active = document.activeElement;
        const held = place.contains(active) && active.dataset && active.dataset.do
          ? `[data-do="${active.dataset.do}"]` + (active.dataset.key ? `[data-key="${CSS.escape(active.dataset.key)}"]` : "") : null;
        place.innerHTML = html;
        last.set(place, html);
        if (held) { const again = $(held, place); if (again) again.focus({ preventScroll: true }); }
      }
    }
  }
  async function ask(path, options) {
    const reply = await fetch("/lote/" + path, options);
    const kind = reply.headers.get("content-type") || "";
    const body = kind.includes("json") ? await reply.json() : {};
    if (!reply.ok) throw new Error(body.error || reply.statusText || String(reply.status));
    return body;
  }
  const send = (path, wish) =>
    ask(path, { method: "POST", headers: { "X-Lote": "1", "Content-Type": "application/json" }, body: JSON.stringify(wish) });
  function say(text, bad) {
    const place = $("#lote-said");
    if (!place) return;
    place.textContent = text;
    place.className = bad ? "toast bad" : "toast";
    place.hidden = !text;
    clearTimeout(say.timer);
    if (text) say.timer = setTimeout(() => say(""), bad ? 9000 : 4000);
  }
  const fault = (error) => say(error.message, true);

  // -- the draft ---------------------------------------------------------------------------------------
  async function pollDraft() {
    const query = new URLSearchParams({ page: windows.page, reference: windows.reference, v: draftVersion });
    const news = await ask(`draft/${lote.draft}?${query}`);
    draftVersion = news.v;
    put(news.parts);
    return news.busy;
  }
  const act = (wish) => send(`draft/${lote.draft}/do`, wish).then(pollDraft).catch(fault);
  async function upload(files) {
    const zone = $(".drop");
    let done = 0;
    for (const file of files) {
      try {
        await new Promise((resolve, reject) => {
          const request = new XMLHttpRequest();
          request.open("PUT", `/lote/draft/${lote.draft}/files?name=${encodeURIComponent(file.name)}`);
          request.setRequestHeader("X-Lote", "1");
          request.upload.onprogress = (event) =>
            zone && zone.style.setProperty("--sent", `${(100 * (done + event.loaded / (event.total || 1))) / files.length}%`);
          request.onload = () => {
            if (request.status < 300) return resolve();
            let text = request.statusText;
            try { text = JSON.parse(request.responseText).error; } catch { /* not ours */ }
            reject(new Error(text));
          };
          request.onerror = () => reject(new Error(lote.words.lost || "The server does not answer."));
          request.send(file);
        });
      } catch (error) { fault(error); }
      done += 1;
    }
    if (zone) zone.style.removeProperty("--sent");
    await act({ do: "look" });
  }

  // -- jobs --------------------------------------------------------------------------------------------
  const tab = (name) => { const button = document.getElementById(`tab-${name}-button`); if (button) button.click(); };
  function openJob(number, visit = true) {
    if (number !== lote.job) { show = "all"; windows.rows = 0; }
    lote.job = number; jobVersion = ""; ended = false;
    const url = new URL(location.href);
    url.searchParams.set("job", number);
    history.replaceState(null, "", url);
    if (visit) tab("job");
    pollJob().catch(fault);
  }
  async function pollJob() {
    const number = lote.job;
    const query = new URLSearchParams({ show, from: windows.rows, v: jobVersion });
    const news = await ask(`job/${number}?${query}`);
    if (number !== lote.job) return;
    jobVersion = news.v; ended = news.ended;
    put(news.parts);
    $(".job").classList.toggle("live", !ended);
    if (news.parts.rows !== undefined) items = [...document.querySelectorAll("[data-part=rows] [data-do=open]")].map((b) => Number(b.dataset.item));
  }
  let items = [];
  const wish = (what) => send(`job/${lote.job}/do`, what).then(() => { jobVersion = ""; return pollJob(); });
  // Gradio hands over the settings of a chapter when one of its two buttons is pressed.
  lote.pressed = (what, names, given) => {
    const values = Object.fromEntries(names.map((name, index) => [name, given[index]]));
    const wish = what === "try" ? { do: what, key: lote.trial, values } : { do: what, values };
    send(`draft/${lote.draft}/do`, wish).then((answer) => {
      if (answer.job) return openJob(answer.job);
      previewJob = answer.preview;
      put({ preview: '<p class="busy"><span class="spin"></span></p>' });
    }).catch(fault);
  };
  async function pollPreview() {
    const news = await ask(`job/${previewJob}/preview?draft=${lote.draft}`);
    put({ preview: news.parts.preview });
    if (news.ended) previewJob = 0;
  }

  let scanning = false;
  async function pollPhotos() {
    const news = await ask(`photos?from=${windows.photos}`);
    scanning = news.running;
    put(news.parts);
  }

  // -- one page ----------------------------------------------------------------------------------------
  const dialog = () => {
    let box = $("#lote-viewer");
    if (!box) {
      box = document.createElement("dialog");
      box.id = "lote-viewer";
      document.body.append(box);
      box.addEventListener("close", () => { openItem = 0; box.innerHTML = ""; });
      box.addEventListener("click", clicked);
      box.addEventListener("change", changed);
      box.addEventListener("input", inputs);
      box.addEventListener("keydown", keys);
    }
    return box;
  };
  async function openPage(item) {
    const news = await ask(`job/${lote.job}/page/${item}`);
    const box = dialog();
    box.className = "viewer";
    box.innerHTML = news.parts.viewer;
    openItem = item;
    if (!box.open) box.showModal();
    view = { zoom: 1, x: 0, y: 0 };
    strokes = []; drawing = false;
    wireStage(box);
    $(".wipe", box).focus({ preventScroll: true });
  }
  async function openSettings(key) {
    const news = await ask(`draft/${lote.draft}/page?key=${encodeURIComponent(key)}`);
    const box = dialog();
    box.className = "sheet";
    box.innerHTML = news.parts.form;
    if (!box.open) box.showModal();
  }
  let view = { zoom: 1, x: 0, y: 0 }, strokes = [], drawing = false, erasing = false;
  function place(box) {
    const compare = $(".compare", box);
    compare.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  }
  function zoom(by, box, cx, cy) {
    const before = view.zoom;
    view.zoom = Math.min(8, Math.max(1, view.zoom * (by > 0 ? 1.4 : 1 / 1.4)));
    const stage = $(".stage", box).getBoundingClientRect();
    const x = (cx ?? stage.left + stage.width / 2) - stage.left - stage.width / 2;
    const y = (cy ?? stage.top + stage.height / 2) - stage.top - stage.height / 2;
    const ratio = view.zoom / before;
    view.x = view.zoom === 1 ? 0 : x - (x - view.x) * ratio;
    view.y = view.zoom === 1 ? 0 : y - (y - view.y) * ratio;
    place(box);
  }
  function wireStage(box) {
    const stage = $(".stage", box), compare = $(".compare", box), canvas = $("canvas.ink", box);
    stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(-event.deltaY, box, event.clientX, event.clientY); }, { passive: false });
    const shape = $("img.before", box);
    const shaped = () => compare.style.setProperty("--shape", shape.naturalWidth / shape.naturalHeight || 0.75);
    if (shape.complete && shape.naturalWidth) shaped(); else shape.addEventListener("load", shaped);
    let from = null, stroke = null;
    const at = (event) => {
      const rect = canvas.getBoundingClientRect();
      return [((event.clientX - rect.left) * canvas.width) / rect.width, ((event.clientY - rect.top) * canvas.height) / rect.height];
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      if (drawing) {
        const scale = canvas.width / canvas.getBoundingClientRect().width;
        stroke = { colour: $(".colour", box).value, size: $(".size", box).value * scale * view.zoom, erase: erasing, points: [at(event)] };
        strokes.push(stroke); paint(box);
      } else from = { x: event.clientX, y: event.clientY, vx: view.x, vy: view.y, moved: false };
      event.preventDefault();
    });
    stage.addEventListener("pointermove", (event) => {
      if (stroke) { stroke.points.push(at(event)); paint(box); }
      else if (from && view.zoom > 1) { view.x = from.vx + event.clientX - from.x; view.y = from.vy + event.clientY - from.y; place(box); }
      else if (from) wipe(box, event);
    });
    const stop = (event) => { if (from && view.zoom === 1 && event.type === "pointerup") wipe(box, event); from = stroke = null; };
    stage.addEventListener("pointerup", stop);
    stage.addEventListener("pointercancel", stop);
    compare.addEventListener("dragstart", (event) => event.preventDefault());
  }
  function wipe(box, event) {
    const rect = $(".compare", box).getBoundingClientRect();
    const at = Math.min(100, Math.max(0, (100 * (event.clientX - rect.left)) / rect.width));
    $(".wipe", box).value = at;
    $(".compare", box).style.setProperty("--at", at + "%");
  }
  function paint(box) {
    const canvas = $("canvas.ink", box), pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (canvas.base) pen.drawImage(canvas.base, 0, 0, canvas.width, canvas.height);
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of strokes) {
      if (stroke.clear) { pen.clearRect(0, 0, canvas.width, canvas.height); continue; }
      pen.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
      pen.strokeStyle = stroke.colour; pen.lineWidth = stroke.size;
      pen.beginPath();
      stroke.points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (stroke.points.length === 1) pen.lineTo(stroke.points[0][0] + 0.01, stroke.points[0][1]);
      pen.stroke();
      pen.globalCompositeOperation = "source-over";
    }
  }
  function draw(box, on) {
    drawing = on; erasing = false;
    $(".drawing", box).hidden = !on;
    $(".wipe", box).hidden = on;
    $(".stage", box).classList.toggle("drawing-on", on);
    const canvas = $("canvas.ink", box), image = $("img.before", box);
    canvas.hidden = !on;
    if (!on) return;
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const known = new Image();
    known.onload = () => { canvas.base = known; paint(box); };
    known.src = `/lote/job/${lote.job}/page/${openItem}/hints?${Date.now()}`;
    $(".compare", box).style.setProperty("--at", "100%");
    paint(box);
  }
  function pick(event, box) {
    const image = event.target, rect = image.getBoundingClientRect();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const x = Math.floor(((event.clientX - rect.left) * canvas.width) / rect.width);
    const y = Math.floor(((event.clientY - rect.top) * canvas.height) / rect.height);
    const [r, g, b] = pen.getImageData(Math.min(x, canvas.width - 1), Math.min(y, canvas.height - 1), 1, 1).data;
    $(".colour", box).value = "#" + [r, g, b].map((v) => v.toString(16).padStart(2, "0")).join("");
    erasing = false;
  }
  const values = (form) => {
    const found = {};
    for (const field of form.querySelectorAll("[name]")) {
      if (field.type === "checkbox") { if (field.checked) (found[field.name] ||= []).push(field.value); }
      else if (field.value !== "") found[field.name] = field.value;
    }
    return found;
  };

  // -- what a person does ------------------------------------------------------------------------------
  async function clicked(event) {
    const box = $("#lote-viewer");
    if (event.target.matches("img.pick")) return pick(event, box);
    if (event.target === box && box.open) return box.close();
    const button = event.target.closest("button[data-do]");
    if (!button || button.disabled) return;
    const data = button.dataset;
    try {
      switch (data.do) {
        case "move": case "all": case "none": case "sort": case "clear":
          windows.page = windows.reference = data.do === "clear" ? 0 : windows.page;
          return void (await act({ do: data.do, key: data.key }));
        case "best": return void (await act({ do: "best", threshold: Number($(".threshold").value) / 100 }));
        case "add": {
          const path = $("#lote-path");
          return void (await act({ do: "add", path: path.value, recursive: $("#lote-recursive").checked }));
        }
        case "browse": return $("#lote-files").click();
        case "settings": return void (await openSettings(data.key));
        case "page-keep": case "page-clear":
          await act({ do: "page", key: data.key, values: data.do === "page-keep" ? values(box) : {} });
          return box.close();
        case "preview": lote.trial = data.key; return $("#try").click();
        case "preview-approve": put({ preview: "" }); return $("#start").click();
        case "preview-close": return put({ preview: "" });
        case "window":
          windows[data.name] = Number(data.start); draftVersion = jobVersion = "";
          return void (await (data.name === "rows" ? pollJob() : data.name === "photos" ? pollPhotos() : pollDraft()));
        case "show": show = data.name; windows.rows = 0; jobVersion = ""; return void (await pollJob());
        case "pause": case "resume": case "cancel": case "retry":
          button.disabled = true;
          return void (await wish({ do: data.do, key: data.key }).finally(() => { button.disabled = false; }));
        case "job": return openJob(Number(data.job));
        case "open": return void (await openPage(Number(data.item)));
        case "close": return box.close();
        case "step": {
          const where = items.indexOf(openItem) + Number(data.by);
          if (items[where]) await openPage(items[where]);
          return;
        }
        case "zoom": return zoom(Number(data.by), box);
        case "approve": await wish({ do: "approve", key: data.key, on: Boolean(data.on) }); return void (await openPage(openItem));
        case "redo": await wish({ do: "redo", key: data.key, values: values($("form.redo", box)) }); return box.close();
        case "draw": return draw(box, !drawing);
        case "draw-end": return draw(box, false);
        case "eraser": erasing = !erasing; button.classList.toggle("on", erasing); return;
        case "undo": strokes.pop(); return paint(box);
        case "wipe-hints": strokes.push({ clear: true }); return paint(box);
        case "hints": {
          const picture = await new Promise((resolve) => $("canvas.ink", box).toBlob(resolve, "image/png"));
          await ask(`job/${lote.job}/page/${openItem}/hints`, { method: "PUT", headers: { "X-Lote": "1" }, body: picture });
          jobVersion = "";
          box.close();
          return void (await pollJob());
        }
        case "scan": case "scan-stop":
          await send("photos/do", data.do === "scan" ? { do: "scan", path: $("#lote-folder").value } : { do: "stop" });
          scanning = true;
          return void (await wait(700), await pollPhotos());
        case "theme": {
          const dark = document.body.classList.toggle("dark");
          localStorage.setItem("lote-theme", dark ? "dark" : "light");
          return;
        }
      }
    } catch (error) { fault(error); }
  }
  function changed(event) {
    const target = event.target;
    if (target.id === "lote-files") { const files = [...target.files]; target.value = ""; return void upload(files); }
    if (target.dataset && target.dataset.do === "tick") void act({ do: "tick", key: target.dataset.key, on: target.checked });
  }
  function inputs(event) {
    if (event.target.classList.contains("wipe")) $(".compare", dialog()).style.setProperty("--at", event.target.value + "%");
  }
  function keys(event) {
    if (event.target.matches("input, select, textarea")) return;
    if (event.key === "+") zoom(1, dialog());
    if (event.key === "-") zoom(-1, dialog());
  }
  document.addEventListener("click", (event) => { if (!event.target.closest("#lote-viewer")) void clicked(event); });
  document.addEventListener("change", (event) => { if (!event.target.closest("#lote-viewer")) changed(event); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    if (event.target.id === "lote-path") $('[data-do="add"]').click();
    if (event.target.id === "lote-folder") $('[data-do="scan"]').click();
  });
  const over = (event, on) => { const zone = event.target.closest && event.target.closest(".drop"); if (zone) { event.preventDefault(); zone.classList.toggle("over", on); } };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, false));
  document.addEventListener("drop", (event) => {
    over(event, false);
    if (event.target.closest && event.target.closest(".drop")) void upload([...event.dataTransfer.files]);
  });

  // -- the beat ----------------------------------------------------------------------------------------
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const seen = (part) => { const place = $(`[data-part="${part}"]`); return place && place.parentElement.getClientRects().length > 0; };
  async function beat() {
    for (let count = 0; ; count += 1) {
      try {
        put(lote.frame); // Gradio makes a tab when it is first shown
        if (seen("page") && (count % 4 === 0 || lote.busy)) lote.busy = await pollDraft();
        if (lote.job && seen("title") && (!ended || count % 4 === 0)) await pollJob();
        if (previewJob) await pollPreview();
        if (seen("history") && count % 4 === 0) put((await ask("jobs")).parts);
        if (seen("photos") && (count % 4 === 0 || scanning)) await pollPhotos();
        if (beat.lost) { beat.lost = false; say(""); }
      } catch (error) {
        if (error instanceof TypeError) { beat.lost = true; say(lote.words.lost || "The server does not answer.", true); }
      }
      await wait(400);
    }
  }
  async function begin() {
    while (!$('[data-part="drop"]')) await wait(50);
    const theme = localStorage.getItem("lote-theme");
    if (theme) document.body.classList.toggle("dark", theme === "dark");
    const frame = await ask("frame");
    lote.words = frame.words;
    document.documentElement.lang = frame.language;
    lote.frame = frame.parts;
    put(lote.frame);
    const toast = document.createElement("div");
    toast.id = "lote-said"; toast.hidden = true; toast.setAttribute("role", "alert");
    document.body.append(toast);
    if (lote.job) openJob(lote.job);
    document.documentElement.dataset.lote = "ready";
    void beat();
  }
  begin().catch((error) => console.error(error));
})();
