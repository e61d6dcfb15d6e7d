"use strict";
// Follows events, and fetches this view anew when something happened: what is shown is rendered by
// the server alone. Texts are put in as text; nothing here makes markup of a string.
(() => {
  const job = document.body.dataset.job;
  const pulse = document.getElementById("pulse");
  const events = document.getElementById("events");
  // Events that come together are one change; and a view is not asked for more than once a second.
  const KEPT = 100, TOGETHER = 150, APART = 1000, SOON = 2000;
  const parts = () => document.querySelectorAll("[data-live][id]");
  // A view that shows nothing else that changes is not made anew: only how many jobs wait.
  const alone = () => !document.querySelector("main [data-live]");
  let asked = false, busy = false, timer = 0, last = -APART;

  const say = (text, state) => {
    pulse.textContent = text;
    pulse.className = `pulse ${state}`;
  };

  // The same view again, as a document whose scripts do not run.
  const fetched = () => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("GET", alone() ? "/waits" : location.pathname + location.search);
    request.responseType = "document";
    request.onload = () => request.status === 200 && request.response ? done(request.response) : failed();
    request.onerror = failed;
    request.send();
  });

  // What a reader has opened, and where the focus is, survives: both are found again by id.
  const replace = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    const open = [...old.querySelectorAll("details[open][id]")].map((each) => each.id);
    const path = focusPath(old);
    const added = document.importNode(fresh, true);
    old.replaceWith(added);
    for (const id of open) {
      const again = document.getElementById(id);
      if (again) again.open = true;
    }
    if (path) {
      const again = path.reduce((node, place) => node && node.children[place], added);
      if (again) again.focus({ preventScroll: true });
    }
  };
  const focusPath = (root) => {
    let node = document.activeElement;
    if (!node || node === root || !root.contains(node)) return null;
    const path = [];
    for (; node !== root; node = node.parentElement) path.unshift([...node.parentElement.children].indexOf(node));
    return path;
  };

  const refresh = async () => {
    if (busy || (document.hidden && !telling())) { asked = true; return; }
    busy = true; asked = false; last = performance.now();
    try {
      const fresh = await fetched();
      for (const old of parts()) {
        const found = fresh.getElementById(old.id);
        if (found) replace(old, found);
      }
      if (fresh.title && !alone()) document.title = fresh.title;
      notify();
    } catch {
      say("the page's process does not answer", "gone");
    }
    busy = false;
    if (asked) later();
    soon();
  };
  // What a view could not wait for is asked for again without an event.
  const soon = () => { if (document.querySelector("[data-soon]")) setTimeout(later, SOON); };
  const later = () => {
    if (!parts().length || timer) return;
    const pause = Math.max(TOGETHER, last + APART - performance.now());
    timer = setTimeout(() => { timer = 0; refresh(); }, pause);
  };

  // A notice of the system's, if the reader has asked for it: our own words, and none of a peer's.
  const tell = document.getElementById("tell");
  const telling = () => "Notification" in window && Notification.permission === "granted";
  const waiting = () => document.querySelector("#waits .count")?.textContent || "";
  let known = waiting();
  const notify = () => {
    const now = waiting();
    const more = parseInt(now || "0", 10) > parseInt(known || "0", 10);
    known = now;
    if (more && document.hidden && telling()) new Notification("assay", { body: `${now} for you`, tag: "waits" });
  };
  if (tell && "Notification" in window && Notification.permission === "default") {
    tell.hidden = false;
    tell.addEventListener("click", async () => {
      await Notification.requestPermission();
      tell.hidden = true;
    });
  }

  // What a form asks for may take a while, and is asked for once; by where it goes and what it says,
  // since a form may be made anew meanwhile.
  const sent = new Set();
  document.addEventListener("submit", (event) => {
    const said = [...new FormData(event.target, event.submitter)].map((each) => each.join("="));
    const what = [event.target.action, ...said].join("&");
    if (sent.has(what)) { event.preventDefault(); return; }
    sent.add(what);
    event.submitter?.classList.add("busy");
  });
  // A view that comes back from the browser's memory may be sent again.
  addEventListener("pageshow", () => {
    sent.clear();
    for (const pressed of document.querySelectorAll(".busy")) pressed.classList.remove("busy");
  });

  // Said by the server: no daemon answered, and where the reader wanted to be.
  const down = document.getElementById("down");

  const list = (told) => {
    if (!events) return;
    document.getElementById("happens").hidden = false;
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = new Date(told.at * 1000).toLocaleTimeString([], { hourCycle: "h23" });
    const text = document.createElement("bdi");
    text.textContent = `${told.kind}: ${told.text}`;
    item.append(time, text);
    events.prepend(item);
    while (events.children.length > KEPT) events.lastChild.remove();
  };

  const source = new EventSource("/live" + (job ? `?job=${encodeURIComponent(job)}` : ""));
  source.onopen = () => { if (!down) say("live", "live"); later(); };
  if (down) source.addEventListener("up", () => location.replace(down.dataset.back));
  source.onerror = () => say("not connected; trying again", "gone");
  source.addEventListener("change", (event) => {
    const told = JSON.parse(event.data);
    say(`${told.kind}: ${told.text}`, "live");
    list(told);
    later();
  });
  source.addEventListener("gone", (event) => say(JSON.parse(event.data).text, "gone"));
  document.addEventListener("visibilitychange", () => { if (asked && !document.hidden) later(); });
  soon();
  addEventListener("pagehide", () => source.close());
})();
