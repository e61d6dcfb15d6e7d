"use strict";
// Computes every link here, by WebCrypto, and again whenever the copy is edited.
(() => {
  const chain = document.getElementById("chain");
  const blocks = [...chain.children];
  const texts = blocks.map((block) => block.querySelector("textarea"));
  const first = "0".repeat(64);
  const original = texts.map((text) => text.value);
  let run = 0;

  const sha256 = async (text) => {
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  const named = (text) => {
    try { return JSON.parse(text).previous; } catch { return undefined; }
  };

  const verify = async () => {
    const mine = ++run;
    let previous = first, sound = true, broken = 0;
    for (const [place, block] of blocks.entries()) {
      const text = texts[place].value;
      const linked = named(text) === previous;
      if (!linked) broken += 1;
      sound = sound && linked;
      previous = await sha256(text);
      if (mine !== run) return;
      block.classList.remove("sound", "broken", "adrift");
      block.classList.add(sound ? "sound" : linked ? "adrift" : "broken");
      block.querySelector(".link").textContent =
        sound ? "✓ linked" : linked ? "– rests on a broken link" : "✕ broken link";
      block.querySelector(".digest code").textContent = previous;
    }
    const changed = texts.some((text, place) => text.value !== original[place]);
    document.getElementById("verdict").textContent =
      broken ? `${broken} of ${blocks.length} links ${broken === 1 ? "is" : "are"} broken: what follows proves nothing.`
        : changed ? "All links hold, but the last digest is another: this is not the history that was recorded."
          : `All ${blocks.length} links hold.`;
    document.getElementById("who").textContent = "Your browser computed them just now, by WebCrypto.";
  };

  // In a text, the digest of the block before it is the first value.
  const mend = async (from) => {
    for (let place = from + 1; place < blocks.length; place += 1) {
      const previous = await sha256(texts[place - 1].value);
      texts[place].value = texts[place].value.replace(/"previous":"[^"]*"/, `"previous":"${previous}"`);
    }
    verify();
  };
  const flip = (text) => {
    const place = text.value.search(/[0-9A-Za-z][^0-9A-Za-z]*$/);
    const other = text.value[place] === "1" ? "2" : "1";
    text.value = text.value.slice(0, place) + other + text.value.slice(place + 1);
    verify();
  };
  const button = (name, act, whole = name) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = name;
    made.setAttribute("aria-label", whole);
    made.addEventListener("click", act);
    return made;
  };

  for (const [place, block] of blocks.entries()) {
    texts[place].readOnly = false;
    texts[place].addEventListener("input", verify);
    const acts = block.querySelector(".acts");
    acts.replaceChildren(button("Change one byte", () => flip(texts[place]), `Change one byte of block ${place}`));
    if (place + 1 < blocks.length) acts.append(" ", button("Mend the links after it", () => mend(place), `Mend the links after block ${place}`));
  }
  document.getElementById("tools").replaceChildren(button("Take all changes back", () => {
    texts.forEach((text, place) => { text.value = original[place]; });
    verify();
  }));
  verify();
})();
