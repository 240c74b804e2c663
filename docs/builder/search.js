// Search over searchIndex: [title, url, kind, words] of every page. Works from file://, asks nobody.
"use strict";
(() => {
  const input = document.getElementById("search"), list = document.getElementById("found"), root = input.dataset.root;
  const fold = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
  const entries = searchIndex.map(([title, url, kind, words]) => ({title, url, kind, words, t: fold(title), w: fold(words)}));
  let chosen = -1;

  // How well a page answers a word: its name before the beginning of its name, before its name's inside, before its text.
  const score = (entry, word) => {
    const at = entry.t.indexOf(word);
    if (entry.t === word) return 100;
    if (at === 0) return 60 - Math.min(20, entry.t.length - word.length);
    if (at > 0) return /\w/.test(entry.t[at - 1]) ? 15 : 30;
    const inside = entry.w.indexOf(word);
    return inside < 0 ? 0 : 10 - Math.min(5, inside / 200);
  };
  const ranked = (query) => {
    const words = fold(query).split(/\s+/).filter(Boolean);
    return entries.map((entry) => {
      const scores = words.map((word) => score(entry, word));
      return {entry, score: scores.includes(0) ? 0 : scores.reduce((a, b) => a + b, 0)};
    }).filter((r) => r.score > 0).sort((a, b) => b.score - a.score || a.entry.t.length - b.entry.t.length).slice(0, 12);
  };
  const excerpt = (entry, word) => {
    const at = Math.max(0, entry.w.indexOf(word));
    return (at > 40 ? "… " : "") + entry.words.slice(Math.max(0, at - 40), at + 90);
  };
  const show = () => {
    const query = input.value.trim();
    list.replaceChildren();
    chosen = -1;
    list.hidden = !query;
    if (!query) return;
    const results = ranked(query);
    for (const {entry} of results) {
      const link = document.createElement("a"), title = document.createElement("b"), kind = document.createElement("span"), text = document.createElement("small");
      link.href = root + entry.url;
      title.textContent = entry.title;
      kind.textContent = entry.kind;
      text.textContent = excerpt(entry, fold(query).split(/\s+/)[0]);
      link.append(title, kind, text);
      list.append(link);
    }
    if (!results.length) list.textContent = "Nothing has these words.";
  };
  const choose = (step) => {
    const links = [...list.querySelectorAll("a")];
    if (!links.length) return;
    links[chosen]?.classList.remove("chosen");
    chosen = (chosen + step + links.length) % links.length;
    links[chosen].classList.add("chosen");
    links[chosen].scrollIntoView({block: "nearest"});
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      const link = list.querySelector("a.chosen") || list.querySelector("a");
      if (link) location.href = link.href;
    } else if (event.key === "Escape") {
      input.value = "";
      show();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    }
  });
  document.addEventListener("click", (event) => { if (!list.contains(event.target) && event.target !== input) list.hidden = true; });
  if (location.hash.startsWith("#find=")) {  // a link to a search
    input.value = decodeURIComponent(location.hash.slice(6));
    show();
  }
})();
